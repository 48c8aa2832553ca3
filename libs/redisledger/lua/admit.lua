-- Decides every vote of a batch and, if it accepts any, takes their uses and puts the batch into the outbox.
-- KEYS: 1 marker, 2 ticket, 3 newestTicketVersion, 4 outbox, 5 outbox times, 6 done, 7 names, 8 seen keys (prefix)
-- ARGV: 1 epoch, 2 batch id, 3 payload, 4 bound of the outbox in batches, 5 most names of an open list
--   (0: the list is closed), 6 how old a young key may be and 7 how far ahead of TIME, 8 length of a key slice,
--   9 TTL of a key slice (all in ms), 10 number of tickets, 11 of groups, 12 of entries, then
--   per ticket: value ('' stands for the newest);
--   per group: ticket index (from 1), votes;
--   per entry: ticket index, key (16 bytes or ''), body hash, '1' if the key was looked up, number of names that may
--   be new, these names.
-- Replies {'WRONG_EPOCH'}, {'KNOWN', entry}, {'DONE', how} or {'VERDICT', verdict}; verdict is text:
--   "now first version|accepted:code,…|code,…", one part per group, one per entry; version is '-' if there is none.
-- A reply other than VERDICT had no effect. The checks stand in an order that matters: what is already decided (batch,
-- then key) comes before what time changes (ballot, ticket, limits).

local m = fenced('state', 'opens', 'closes', 'loaded')
if not m then
  return { 'WRONG_EPOCH' }
end
local known = redis.call('HGET', KEYS[4], ARGV[2])
if known then
  return { 'KNOWN', known }
end
local done = redis.call('HGET', KEYS[6], ARGV[2])
if done then
  return { 'DONE', done }
end

local now = now_ms()
local batch, max_names = ARGV[2], tonumber(ARGV[5])
local tickets, groups, entries = tonumber(ARGV[10]), tonumber(ARGV[11]), tonumber(ARGV[12])
local slice_ms = tonumber(ARGV[8])
local at = 12

-- What speaks against every new vote of the batch; nil if nothing does.
local function closed_by()
  if m[1] ~= 'open' or (m[2] and m[2] ~= '' and now < tonumber(m[2])) or (m[3] and m[3] ~= '' and now >= tonumber(m[3])) then
    return 'closed'
  end
  if redis.call('HLEN', KEYS[4]) >= tonumber(ARGV[4]) then
    return 'overloaded'
  end
  return nil
end
local refused_all = closed_by()

local t = current(KEYS[2], now)
local left = t and t.left or 0
local ticket_code = {}
for i = 1, tickets do
  local value = ARGV[at + i]
  if not t then
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

local group_verdicts = {}
for i = 1, groups do
  local got, code = take(tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2]))
  group_verdicts[i] = got .. ':' .. code
  at = at + 2
end

local function hex(s)
  return (string.gsub(s, '.', function(c) return string.format('%02x', string.byte(c)) end))
end

-- seen says whether the key was admitted in this epoch within the window, and as what.
local this_slice = math.floor(now / slice_ms)
local function seen(key, hash)
  for slice = this_slice, this_slice - math.floor(tonumber(ARGV[9]) / slice_ms), -1 do
    local v = redis.call('HGET', slice_key(KEYS[8], slice, key), key)
    if v then
      if string.sub(v, 17) ~= hash then
        return 'reused'
      end
      local b = string.sub(v, 1, 16)
      if redis.call('HEXISTS', KEYS[4], b) == 1 then
        return 'pending:' .. hex(b)
      end
      return 'same:' .. hex(b)
    end
  end
  return nil
end

-- young says that the key cannot have been used before this window, nor in an epoch that this Redis does not know: a
-- UUIDv7 tells its time, and one that is too far ahead or too old tells nothing.
local loaded = tonumber(m[4])
local function young(key)
  if math.floor(string.byte(key, 7) / 16) ~= 7 then
    return false
  end
  local made = 0
  for i = 1, 6 do
    made = made * 256 + string.byte(key, i)
  end
  local ahead = tonumber(ARGV[7])
  return now - made < tonumber(ARGV[6]) and made - now < ahead and made - ahead > loaded
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

local entry_verdicts, keys = {}, {}
for i = 1, entries do
  local ticket, key, hash = tonumber(ARGV[at + 1]), ARGV[at + 2], ARGV[at + 3]
  local looked_up, count = ARGV[at + 4] == '1', tonumber(ARGV[at + 5])
  local code = key ~= '' and seen(key, hash) or nil
  if not code and key ~= '' and not looked_up and not young(key) then
    code = 'lookup'
  end
  if not code then
    code = refused_all or ticket_code[ticket]
    if code == 'ok' and left == 0 then
      code = 'exhausted'
    end
    if code == 'ok' and count > 0 and not room(at + 6, at + 5 + count) then
      code = 'names'
    end
    if code == 'ok' then
      take(ticket, 1)
      if key ~= '' then
        keys[#keys + 1] = { key, hash }
      end
    end
  end
  entry_verdicts[i] = code
  at = at + 5 + count
end

local function verdict(first)
  return now .. ' ' .. first .. ' ' .. (t and t.version or '-') .. '|' .. table.concat(group_verdicts, ',')
    .. '|' .. table.concat(entry_verdicts, ',')
end
if taken == 0 then
  return { 'VERDICT', verdict(0) }
end

-- From here on only writes. A Redis that is out of memory refuses the first of them, and then nothing happened.
local last = redis.call('HINCRBY', KEYS[1], 'admissions', taken)
local text = verdict(string.format('%.0f', last - taken + 1))
redis.call('HSET', KEYS[4], batch, text .. '\n' .. ARGV[3])
redis.call('ZADD', KEYS[5], now, batch)
promote(KEYS[2], KEYS[3], t)
if left ~= -1 then
  redis.call('HINCRBY', KEYS[2], 'left', -taken)
end
for _, k in ipairs(keys) do
  local sk = slice_key(KEYS[8], this_slice, k[1])
  redis.call('HSET', sk, k[1], batch .. k[2])
  redis.call('PEXPIRE', sk, ARGV[9])
end
for _, name in ipairs(new_names) do
  redis.call('SADD', KEYS[7], name)
end
return { 'VERDICT', text }
