-- Keeps an entry unless a newer one is there.
-- KEYS[1]  the entry: a hash of v (version), f (1: found), o (owner), d (the value)
-- ARGV     version, found, owner, value, milliseconds to live
-- Returns 1 if it was kept, 0 if what is there is as new. Versions are below 2^53.
local have = tonumber(redis.call('HGET', KEYS[1], 'v') or '-1')
if have >= tonumber(ARGV[1]) then
  return 0
end
redis.call('HSET', KEYS[1], 'v', ARGV[1], 'f', ARGV[2], 'o', ARGV[3], 'd', ARGV[4])
redis.call('PEXPIRE', KEYS[1], ARGV[5])
return 1
