-- Lists batches that stand in the outbox for longer than their lease.
-- KEYS: 1 marker, 2 outbox times, 3 outbox; ARGV: 1 epoch, 2 lease in ms, 3 most ids
-- Replies {'WRONG_EPOCH'} or {'DUE', age of the oldest in ms (-1: none waits), id, …}.

if not fenced() or lost(torn(KEYS[3], KEYS[2])) then
  return { 'WRONG_EPOCH' }
end
local now = now_ms()
local oldest = redis.call('ZRANGE', KEYS[2], 0, 0, 'WITHSCORES')
local ids = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now - tonumber(ARGV[2]), 'LIMIT', 0, ARGV[3])
return { 'DUE', oldest[2] and now - tonumber(oldest[2]) or -1, unpack(ids) }
