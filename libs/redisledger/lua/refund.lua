-- Undoes an admission that became durable nowhere: only while nobody has claimed the batch.
-- KEYS: 1 marker, 2 outbox, 3 outbox times, 4 claims, 5 done, 6 ticket, 7 seen keys (prefix), 8 voters
-- ARGV: 1 epoch, 2 batch id, 3 TTL of done in ms, 4 ticket version, 5 uses, 6 slice of the keys, 7 number of keys, the
--   keys, and per vote with a voter: the voter, the vote's id, the id of the vote that it retracts ('' if it is a vote)
-- Replies {'WRONG_EPOCH'}, {'REFUNDED'} or {'NO', how}; how as in settle.

if not fenced() then
  return { 'WRONG_EPOCH' }
end
if redis.call('HEXISTS', KEYS[2], ARGV[2]) == 0 then
  return { 'NO', redis.call('HGET', KEYS[5], ARGV[2]) or '' }
end
local claimed = redis.call('HEXISTS', KEYS[4], ARGV[2]) == 1
-- mutant refund-claimed: claimed = false
if claimed then
  return { 'NO', '' }
end
redis.call('PERSIST', KEYS[2])
redis.call('HDEL', KEYS[2], ARGV[2])
redis.call('ZREM', KEYS[3], ARGV[2])
redis.call('HSET', KEYS[5], ARGV[2], 'R')
redis.call('PEXPIRE', KEYS[5], ARGV[3])
local t = redis.call('HMGET', KEYS[6], 'version', 'left')
if t[1] == ARGV[4] and t[2] ~= '-1' then
  redis.call('HINCRBY', KEYS[6], 'left', ARGV[5])
end
local keys = tonumber(ARGV[7])
for i = 8, 7 + keys do
  redis.call('HDEL', slice_key(KEYS[7], ARGV[6], ARGV[i]), ARGV[i])
end
for i = 8 + keys, #ARGV, 3 do
  local voter, vote, retracts = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local state = redis.call('HGET', KEYS[8], voter)
  if state then
    local ids = string.sub(state, 17)
    ids = retracts == '' and without(ids, vote) or ids .. retracts
    redis.call('HSET', KEYS[8], voter, string.sub(state, 1, 16) .. ids)
  end
end
return { 'REFUNDED' }
