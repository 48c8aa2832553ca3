-- Makes the lock last longer if it is ours.
-- KEYS: 1 lock, 2 counter; ARGV: 1 token, 2 life of the lock in ms, 3 life of the counter in ms
-- Replies 1 if it is ours, else 0.

if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
redis.call('PEXPIRE', KEYS[2], ARGV[3])
return 1
