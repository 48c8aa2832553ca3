-- Undoes an admission that became durable nowhere: only while nobody has claimed the batch.
-- KEYS: 1 marker, 2 outbox, 3 outbox times, 4 claims, 5 done, 6 ticket, 7 newestTicketVersion, 8 seen keys (prefix)
-- ARGV: 1 epoch, 2 replid, 3 batch id, 4 TTL of done in ms, 5 ticket version, 6 uses, 7 slice of the keys, keys …
-- Replies {'WRONG_EPOCH'}, {'REFUNDED'} or {'NO', how}; how as in settle.

if not fenced() then
  return { 'WRONG_EPOCH' }
end
if redis.call('HEXISTS', KEYS[2], ARGV[3]) == 0 then
  return { 'NO', redis.call('HGET', KEYS[5], ARGV[3]) or '' }
end
if redis.call('HEXISTS', KEYS[4], ARGV[3]) == 1 then
  return { 'NO', '' }
end
redis.call('PERSIST', KEYS[2])
redis.call('HDEL', KEYS[2], ARGV[3])
redis.call('ZREM', KEYS[3], ARGV[3])
redis.call('HSET', KEYS[5], ARGV[3], 'R')
redis.call('PEXPIRE', KEYS[5], ARGV[4])
local t = redis.call('HMGET', KEYS[6], 'version', 'left')
if t[1] == ARGV[5] and t[2] ~= '-1' then
  redis.call('HINCRBY', KEYS[6], 'left', ARGV[6])
end
for i = 8, #ARGV do
  redis.call('HDEL', slice_key(KEYS[8], ARGV[7], ARGV[i]), ARGV[i])
end
return { 'REFUNDED' }
