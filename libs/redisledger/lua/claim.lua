-- Takes over a batch from its owner. From here on it only goes forward: a claimed batch is never refunded.
-- KEYS: 1 marker, 2 outbox, 3 claims, 4 done; ARGV: 1 epoch, 2 batch id, 3 who claims
-- Replies {'WRONG_EPOCH'}, {'KNOWN', entry} or {'DONE', how}; how is '' if nothing is known.

if not fenced() then
  return { 'WRONG_EPOCH' }
end
local entry = redis.call('HGET', KEYS[2], ARGV[2])
if not entry then
  return { 'DONE', redis.call('HGET', KEYS[4], ARGV[2]) or '' }
end
redis.call('PERSIST', KEYS[2])
redis.call('HSET', KEYS[3], ARGV[2], ARGV[3])
return { 'KNOWN', entry }
