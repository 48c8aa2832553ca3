-- Keeps a node in the list of the live ones, and drops those that have not been heard of in time.
-- KEYS: 1 list; ARGV: 1 node, 2 how long it counts as alive, in ms
-- Replies the live nodes, this one among them.

local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now))
redis.call('ZADD', KEYS[1], string.format('%.0f', now + ARGV[2]), ARGV[1])
local last = redis.call('ZREVRANGE', KEYS[1], 0, 0, 'WITHSCORES')
redis.call('PEXPIRE', KEYS[1], string.format('%.0f', last[2] - now))
return redis.call('ZRANGE', KEYS[1], 0, -1)
