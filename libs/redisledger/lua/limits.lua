-- Stands before the scripts that know voters.

-- voter_rules reads what a marker says of voters and tickets: '' (no limit), the votes that a voter has, or those and
-- 'period per-candidate ticketless hot-for' behind them (times in ms, 0 for none).
local function voter_rules(text)
  if not text or text == '' then
    return {}
  end
  local limit, period, per_candidate, ticketless, hot_for = string.match(text, '^(%d*) (%d+) (%d) (%d) (%d+)$')
  if not period then
    return { limit = tonumber(text) }
  end
  local r = { limit = tonumber(limit), per_candidate = per_candidate == '1', ticketless = ticketless == '1' }
  if period ~= '0' then
    r.period = tonumber(period)
  elseif r.per_candidate and hot_for ~= '0' then
    r.hot_for = tonumber(hot_for)
  end
  return r
end

-- period_of is the number of the period that a moment belongs to, as text; nil where there are none.
local function period_of(rules, ms)
  return rules.period and string.format('%.0f', math.floor(ms / rules.period))
end

-- field_of names a voter's state among those of a ballot.
local function field_of(rules, voter, candidate, period)
  -- mutant state-without-candidate: rules = { period = rules.period }
  -- mutant state-without-period: rules = { per_candidate = rules.per_candidate }
  if rules.per_candidate then
    voter = voter .. '\0' .. candidate
  end
  if rules.period then
    voter = voter .. '\0' .. period
  end
  return voter
end

-- absent_is_none says what it means that a voter's state is not there: there are no votes; or else Postgres must be asked.
-- Of a hot candidate everything is there that ever was: loaded, or learnt since. An item's id is 16 digits, of which 4096
-- numbers belong to each millisecond.
local memory
local function absent_is_none(rules, loaded, now, candidate)
  memory = memory or redis.call('HMGET', KEYS[1], 'hot_from', 'evicted')
  if loaded == 0 and not memory[2] then
    return true
  end
  return rules.hot_for and memory[1] and memory[1] ~= '' and #candidate == 16 and not string.find(candidate, '%D')
    and candidate >= string.format('%016.0f', math.max(tonumber(memory[1]), now - rules.hot_for + 1) * 4096)
end
