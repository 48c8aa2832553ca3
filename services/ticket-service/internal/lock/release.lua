-- Deletes the lock if it is ours.
-- KEYS: 1 lock; ARGV: 1 token; replies how many keys were deleted.

if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
return redis.call('DEL', KEYS[1])
