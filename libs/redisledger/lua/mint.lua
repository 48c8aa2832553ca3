-- Mints the ticket that is missing: the first, the one after a gap, or the successor of the current one. Called by
-- several minters at once, one ticket per window results.
-- KEYS: 1 marker, 2 ticket, 3 newestTicketVersion, 4 graphql_ticket
-- ARGV: 1 epoch, 2 number, 3 version, 4 value, 5 cap (-1: none), 6 interval in ms, 7 fence, 8 1: show the value of now
-- Replies {'WRONG_EPOCH'}, {'FENCED'} (a later holder of the lock has minted), {'STALE', last number},
-- {'ALREADY'} (current and successor are there) or {'MINTED', now, created, expires}.

if not fenced() then
  return { 'WRONG_EPOCH' }
end
local now = now_ms()
local m = redis.call('HMGET', KEYS[2], 'last', 'fence', 'next_version')
if lost(not m[1] and redis.call('EXISTS', KEYS[3]) == 1) then
  return { 'WRONG_EPOCH' }
end
if m[2] and tonumber(ARGV[7]) < tonumber(m[2]) then
  return { 'FENCED' }
end
local t = current(KEYS[2], now)
if t and t.next_version and now < t.expires then
  return { 'ALREADY' }
end
if tonumber(ARGV[2]) ~= tonumber(m[1] or 0) + 1 then
  return { 'STALE', m[1] or '0' }
end
if t then
  promote(KEYS[2], KEYS[3], t)
end
-- show puts the value of now where others may look for it, until it is no longer valid. Nothing here reads it.
local function show(value, expires)
  if ARGV[8] == '1' then
    redis.call('SET', KEYS[4], value, 'PX', string.format('%.0f', expires - now))
  end
end
local interval = tonumber(ARGV[6])
redis.call('PERSIST', KEYS[2]) -- tickets take no memory, so none is refused for it: see settle
redis.call('HSET', KEYS[2], 'last', ARGV[2], 'fence', ARGV[7])
if t and now < t.expires then
  -- The windows adjoin: the successor begins where the current one ends.
  local expires = string.format('%.0f', t.expires + interval)
  local created = string.format('%.0f', t.expires)
  redis.call('HSET', KEYS[2], 'next_value', ARGV[4], 'next_version', ARGV[3], 'next_number', ARGV[2],
    'next_cap', ARGV[5], 'next_created', created, 'next_expires', expires)
  show(t.value, t.expires)
  return { 'MINTED', now, created, expires }
end
local expires = string.format('%.0f', now + interval)
local created = string.format('%.0f', now)
redis.call('HSET', KEYS[2], 'value', ARGV[4], 'version', ARGV[3], 'number', ARGV[2], 'cap', ARGV[5],
  'left', ARGV[5], 'created', created, 'expires', expires)
redis.call('HDEL', KEYS[2], 'next_value', 'next_version', 'next_number', 'next_cap', 'next_created', 'next_expires')
redis.call('SET', KEYS[3], ARGV[3])
show(ARGV[4], now + interval)
return { 'MINTED', now, created, expires }
