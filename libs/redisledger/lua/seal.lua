-- Ends a ballot's keys for good: from now on every script on them says WRONG_EPOCH. A missing marker gets a tombstone.
-- KEYS: 1 marker; ARGV: none. Replies {'SEALED'}.

redis.call('PERSIST', KEYS[1])
redis.call('HSET', KEYS[1], 'sealed', '1')
return { 'SEALED' }
