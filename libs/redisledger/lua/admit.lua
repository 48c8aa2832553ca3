-- Decides every vote of a batch and, if it accepts any, takes their uses and puts the batch into the outbox. A batch of
-- retractions has entries only, and no ticket; nor has one for a ballot without tickets.
-- KEYS: 1 marker, 2 ticket, 3 newestTicketVersion, 4 outbox, 5 outbox times, 6 done, 7 names, 8 seen keys (prefix),
--   9 voters
-- ARGV: 1 epoch, 2 batch id, 3 payload, 4 bound of the outbox in batches, 5 most names of an open list
--   (0: the list is closed), 6 how old a young key may be and 7 how far ahead of TIME, 8 length of a key slice,
--   9 TTL of a key slice (all in ms), 10 number of tickets, 11 of groups, 12 of entries, then
--   per ticket: value ('' stands for the newest);
--   per group: ticket index (from 1), votes;
--   per entry: ticket index, key (16 bytes or ''), body hash, flags (1: the key was looked up, 2: there is a voter, 4: it
--   is a vote that takes the place of the one that it retracts), number of names that may be new, these names, and if
--   there is a voter: the voter, the candidate ('' if the vote is not for one alone), the vote's id, the id of the vote
--   that it retracts ('' if there is none), the period of that vote if this is a retraction, the ids of the voter's votes
--   as looked up ('-' if they were not), the period that they are for.
-- Replies {'WRONG_EPOCH'}, {'KNOWN', entry}, {'DONE', how} or {'VERDICT', verdict}; verdict is text:
--   "now first version|accepted:code,…|code,…", one part per group, one per entry; version is '-' if there is none, or
--   the batch takes no use of it.
-- A reply other than VERDICT had no effect. The checks stand in an order that matters: what is already decided (batch,
-- then key) comes before what time changes (ballot, ticket, limits).

local m = fenced('state', 'opens', 'closes', 'loaded', 'voter_votes')
if not m then
  return { 'WRONG_EPOCH' }
end
local known = redis.call('HGET', KEYS[4], ARGV[2])
local done = not known and redis.call('HGET', KEYS[6], ARGV[2])
-- mutant admit-forgets-batch: known, done = false, false
if known then
  return { 'KNOWN', known }
end
if done then
  return { 'DONE', done }
end

local now = now_ms()
local batch, max_names = ARGV[2], tonumber(ARGV[5])
local tickets, groups, entries = tonumber(ARGV[10]), tonumber(ARGV[11]), tonumber(ARGV[12])
local slice_ms = tonumber(ARGV[8])
local loaded, rules = tonumber(m[4]), voter_rules(m[5])
local voter_votes = rules.limit
local at = 12

-- What speaks against every new vote of the batch; nil if nothing does. A batch's id tells its age to those who keep
-- what belongs to it, so it must not tell another time than Redis does.
local function closed_by()
  if math.abs(made_ms(batch) - now) > 3600000 then
    return 'clock'
  end
  if m[1] ~= 'open' or (m[2] and m[2] ~= '' and now < tonumber(m[2])) or (m[3] and m[3] ~= '' and now >= tonumber(m[3])) then
    return 'closed'
  end
  if redis.call('HLEN', KEYS[4]) >= tonumber(ARGV[4]) then
    return 'overloaded'
  end
  return nil
end
local refused_all = closed_by()

local t = tickets > 0 and not rules.ticketless and current(KEYS[2], now) or nil
local left = rules.ticketless and -1 or t and t.left or 0
-- mutant no-cap: left = -1
local ticket_code = {}
for i = 1, tickets do
  local value = ARGV[at + i]
  if rules.ticketless then
    ticket_code[i] = 'ok'
  elseif not t then
    ticket_code[i] = 'expired'
  elseif value ~= '' and value ~= t.value then
    ticket_code[i] = 'superseded'
  elseif now >= t.expires then
    ticket_code[i] = 'expired'
  else
    ticket_code[i] = 'ok'
  end
end
at = at + tickets

-- take gives up to n uses of a ticket.
local taken = 0
local function take(ticket, n)
  local code = refused_all or ticket_code[ticket]
  if code == 'ok' and voter_votes then
    code = 'novoter'
  end
  if code ~= 'ok' then
    return 0, code
  end
  if left == -1 then
    taken = taken + n
    return n, 'ok'
  end
  local got = math.min(n, left)
  left = left - got
  taken = taken + got
  return got, got == n and 'ok' or 'exhausted'
end

local accepted = 0
local group_verdicts = {}
for i = 1, groups do
  local got, code = take(tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2]))
  accepted = accepted + got
  group_verdicts[i] = got .. ':' .. code
  at = at + 2
end

-- seen says whether the key was admitted in this epoch within the window, and as what.
local function seen(key, hash)
  local v = find_key(KEYS[8], key, now, slice_ms, tonumber(ARGV[9]))
  if not v then
    return nil
  end
  if string.sub(v, 17) ~= hash then
    return 'reused'
  end
  local b = string.sub(v, 1, 16)
  -- mutant pending-is-same: do return 'same:' .. hex(b) end
  if redis.call('HEXISTS', KEYS[4], b) == 1 then
    return 'pending:' .. hex(b)
  end
  return 'same:' .. hex(b)
end

-- ahead says that a key which tells its time tells one that has not come yet. It is admitted by nobody: later, when its time
-- has come and nobody remembers it any more, it would look young.
local function ahead(key)
  return math.floor(string.byte(key, 7) / 16) == 7 and made_ms(key) - now >= tonumber(ARGV[7])
end

-- young says that the key cannot have been used before this window, nor in an epoch that this Redis does not know: a
-- UUIDv7 tells its time, and one that is too far ahead or too old tells nothing.
local function young(key)
  if math.floor(string.byte(key, 7) / 16) ~= 7 then
    return false
  end
  local made, bound = made_ms(key), tonumber(ARGV[7])
  local future = ahead(key)
  -- mutant no-future-bound: future = false
  return now - made < tonumber(ARGV[6]) and not future and made - bound > loaded
end

local names = max_names > 0 and redis.call('SCARD', KEYS[7]) or 0
local new_names, is_new = {}, {}
-- room says whether the entry's unknown names still fit, and counts them in if they do.
local function room(from, to)
  local fresh = {}
  for i = from, to do
    local name = ARGV[i]
    if not is_new[name] and not fresh[name] and redis.call('SISMEMBER', KEYS[7], name) == 0 then
      fresh[name] = true
      fresh[#fresh + 1] = name
    end
  end
  if names + #fresh > max_names then
    return false
  end
  for _, name in ipairs(fresh) do
    is_new[name] = true
    new_names[#new_names + 1] = name
  end
  names = names + #fresh
  return true
end

-- state_of returns what is known of a voter, this batch's votes included; nil if Postgres must be asked. What Redis has
-- learnt in this epoch goes before what was looked up.
local voters = {}
local function state_of(field, candidate, looked_up)
  local s = voters[field]
  if s then
    return s
  end
  local v = redis.call('HGET', KEYS[9], field)
  if v then
    s = { last = string.sub(v, 1, 16), ids = string.sub(v, 17) }
  elseif looked_up ~= '-' then
    s = { ids = looked_up }
  elseif absent_is_none(rules, loaded, now, candidate) then
    s = { ids = '' }
  else
    return nil
  end
  voters[field] = s
  return s
end

-- says what the voter's votes have against one more, or against retracting one; and the voter's state. A voter whose
-- last batch may still be lost has to wait for it: nothing may depend on it yet. That may be this batch: what speaks against
-- a vote only because of another one in it is no refusal either. first is where the voter stands in ARGV.
local function says(first, retraction)
  local candidate, retracts, looked_up = ARGV[first + 1], ARGV[first + 3], ARGV[first + 5]
  if rules.per_candidate and candidate == '' then
    return 'notone'
  end
  local period = retraction and ARGV[first + 4] or period_of(rules, now)
  if rules.period and ARGV[first + 6] ~= period then
    looked_up = '-'
  end
  local s = state_of(field_of(rules, ARGV[first], candidate, period), candidate, looked_up)
  if not s then
    return rules.period and 'voter:' .. period or 'voter'
  end
  local waits = s.last and s.last ~= batch and redis.call('HEXISTS', KEYS[4], s.last) == 1
  -- mutant no-busy: waits = false
  if waits then
    return 'busy:' .. hex(s.last)
  end
  local decided = not s.changed
  -- mutant own-batch-decides: decided = true
  if retracts ~= '' and not place(s.ids, retracts) then
    return decided and 'novote' or 'busy:' .. hex(batch)
  end
  local full = retracts == '' and #s.ids / 16 >= (voter_votes or 1000)
  -- mutant no-voter-limit: full = false
  if full then
    return decided and 'limit' or 'busy:' .. hex(batch)
  end
  return 'ok', s
end

local entry_verdicts, keys = {}, {}
for i = 1, entries do
  local ticket, key, hash = tonumber(ARGV[at + 1]), ARGV[at + 2], ARGV[at + 3]
  local flags, count = tonumber(ARGV[at + 4]), tonumber(ARGV[at + 5])
  local after = at + 5 + count
  local voter, state = flags % 4 >= 2, nil
  local retraction = voter and flags < 4 and ARGV[after + 4] ~= ''
  local code = key ~= '' and seen(key, hash) or nil
  -- mutant limits-before-key: code = refused_all or (left == 0 and 'exhausted') or code
  if not code and key ~= '' then
    if flags % 2 == 0 and not young(key) then
      code = 'lookup'
    elseif flags % 2 == 1 and ahead(key) then
      code = 'ahead'
    end
  end
  if not code then
    code = refused_all or ((retraction or rules.ticketless) and 'ok') or ticket_code[ticket] or 'noticket'
    if code == 'ok' and not retraction and left == 0 then
      code = 'exhausted'
    end
    if code == 'ok' and voter then
      code, state = says(after + 1, retraction)
    elseif code == 'ok' and (voter_votes or flags >= 4) then
      code = 'novoter'
    end
    if code == 'ok' and count > 0 and not room(at + 6, after) then
      code = 'names'
    end
    if code == 'ok' then
      accepted = accepted + 1
      if not retraction then
        taken = taken + 1
        left = left == -1 and -1 or left - 1
      end
      if key ~= '' then
        keys[#keys + 1] = { key, hash }
      end
      if voter then
        local gone = ARGV[after + 4]
        -- mutant change-keeps-old: gone = retraction and gone or ''
        state.ids, state.changed = without(state.ids, gone), true
        if not retraction then
          state.ids = state.ids .. ARGV[after + 3]
        end
      end
    end
  end
  entry_verdicts[i] = code
  at = voter and after + 7 or after
end

local function verdict(first)
  return now .. ' ' .. first .. ' ' .. (t and t.version or '-') .. '|' .. table.concat(group_verdicts, ',')
    .. '|' .. table.concat(entry_verdicts, ',')
end
if accepted == 0 then
  return { 'VERDICT', verdict(0) }
end

-- From here on only writes. A Redis that is out of memory refuses the first of them, and then nothing happened.
local last = redis.call('HINCRBY', KEYS[1], 'admissions', accepted)
local text = verdict(string.format('%.0f', last - accepted + 1))
redis.call('HSET', KEYS[4], batch, text .. '\n' .. ARGV[3])
redis.call('ZADD', KEYS[5], now, batch)
if t then
  promote(KEYS[2], KEYS[3], t)
  if left ~= -1 then
    redis.call('HINCRBY', KEYS[2], 'left', -taken)
  end
end
for _, k in ipairs(keys) do
  local sk = slice_key(KEYS[8], math.floor(now / slice_ms), k[1])
  redis.call('HSET', sk, k[1], batch .. k[2])
  redis.call('PEXPIRE', sk, ARGV[9])
end
for _, name in ipairs(new_names) do
  redis.call('SADD', KEYS[7], name)
end
for field, s in pairs(voters) do
  if s.changed then
    redis.call('HSET', KEYS[9], field, batch .. s.ids)
  end
end
return { 'VERDICT', text }
