-- Takes a durable batch out of the outbox and adds its counts to the tally, once, whoever calls and however often.
-- KEYS: 1 marker, 2 outbox, 3 outbox times, 4 claims, 5 done, 6 tally, 7 updated
-- ARGV: 1 epoch, 2 batch id, 3 TTL of done in ms, 4 when the batch was admitted in ms, 5 number of
--   candidates, their names, their counts
-- Replies {'WRONG_EPOCH'}, {'SETTLED', total, …} when this call settled it, or {'DONE', how, total, …}; how is 'S'
-- (settled), 'R' (refunded) or '' (unknown, and too old to be known). The totals stand in the order of the names.

if not fenced() then
  return { 'WRONG_EPOCH' }
end
local n = tonumber(ARGV[5])
local names = {}
for i = 1, n do
  names[i] = ARGV[5 + i]
end
local waits = redis.call('HEXISTS', KEYS[2], ARGV[2]) == 1
-- mutant settle-twice: waits = true
local how = not waits and redis.call('HGET', KEYS[5], ARGV[2])
local unknown = not waits and not how and now_ms() - tonumber(ARGV[4]) < tonumber(ARGV[3])
if lost(unknown or parted(KEYS[6], KEYS[7])) then
  return { 'WRONG_EPOCH' }
end
if not waits then
  return { 'DONE', how or '', unpack(hmget(KEYS[6], names, 1)) }
end
-- PERSIST changes nothing, but it is a write that Redis never refuses for memory, and after it none is refused.
redis.call('PERSIST', KEYS[2])
redis.call('HDEL', KEYS[2], ARGV[2])
redis.call('ZREM', KEYS[3], ARGV[2])
redis.call('HDEL', KEYS[4], ARGV[2])
redis.call('HSET', KEYS[5], ARGV[2], 'S')
redis.call('PEXPIRE', KEYS[5], ARGV[3])
for i = 1, n do
  redis.call('HINCRBY', KEYS[6], names[i], ARGV[5 + n + i])
  redis.call('HSET', KEYS[7], names[i], ARGV[4])
end
-- Read back as text: a number of Lua is exact to 2^53 only.
return { 'SETTLED', unpack(hmget(KEYS[6], names, 1)) }
