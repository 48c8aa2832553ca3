-- Drops states of voters that need not be kept, if no batch has changed them since they were seen. From then on a state that
-- is not there is looked up, in an epoch from an empty ledger too; and no candidate that was cold once is taken for hot
-- again, whatever the clock does.
-- KEYS: 1 marker, 2 voters, 3 outbox; ARGV: 1 epoch, 2 how old the last batch's id must be in ms, then field, last batch as
--   seen, …
-- Replies {'WRONG_EPOCH'} or {'EVICTED', how many}.

local m = fenced('voter_votes', 'hot_from')
if not m then
  return { 'WRONG_EPOCH' }
end
local rules, now = voter_rules(m[1]), now_ms()
local fields, evicted = {}, 0
for i = 3, #ARGV, 2 do
  local field, last = ARGV[i], ARGV[i + 1]
  local v = redis.call('HGET', KEYS[2], field)
  if v and string.sub(v, 1, 16) == last and is_cold(rules, field, last, now, tonumber(ARGV[2]))
    and redis.call('HEXISTS', KEYS[3], last) == 0 then
    fields[#fields + 1] = field
  end
end
if #fields > 0 then
  redis.call('PERSIST', KEYS[1]) -- what frees memory is not refused for it: see settle
  redis.call('HSET', KEYS[1], 'evicted', '1')
  if rules.hot_for and m[2] and m[2] ~= '' then
    redis.call('HSET', KEYS[1], 'hot_from', string.format('%.0f', math.max(tonumber(m[2]), now - rules.hot_for + 1)))
  end
  -- mutant eviction-unmarked: redis.call('HDEL', KEYS[1], 'evicted') redis.call('HSET', KEYS[1], 'hot_from', m[2] or '')
  for _, field in ipairs(fields) do
    evicted = evicted + redis.call('HDEL', KEYS[2], field)
  end
end
return { 'EVICTED', evicted }
