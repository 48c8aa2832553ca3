-- Takes the lock if it is free, and counts the hold.
-- KEYS: 1 lock, 2 counter; ARGV: 1 token, 2 life of the lock in ms, 3 life of the counter in ms
-- Replies the fencing number, or nil if the lock is taken.

if not redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then
  return false
end
local fence = redis.call('INCR', KEYS[2])
redis.call('PEXPIRE', KEYS[2], ARGV[3])
return fence
