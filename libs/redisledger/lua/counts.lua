-- Loads counts, between begin and finish. What comes later than that has no effect.
-- KEYS: 1 marker, 2 tally, 3 updated, 4 names; ARGV: 1 epoch, then name, count, time in ms, …
-- Replies {'WRONG_EPOCH'} or {'COUNTS'}.

local m = redis.call('HMGET', KEYS[1], 'epoch', 'sealed', 'loading')
if m[1] ~= ARGV[1] or m[2] or not m[3] then
  return { 'WRONG_EPOCH' }
end
for i = 2, #ARGV, 3 do
  redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1])
  redis.call('HSET', KEYS[3], ARGV[i], ARGV[i + 2])
  redis.call('SADD', KEYS[4], ARGV[i])
end
return { 'COUNTS' }
