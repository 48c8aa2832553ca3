-- Tells what became of a batch whose admit was sent and not answered. Anything but KNOWN or DONE is no news: the
-- first admit may still arrive.
-- KEYS: 1 marker, 2 outbox, 3 done; ARGV: 1 epoch, 2 batch id
-- Replies {'WRONG_EPOCH'}, {'KNOWN', entry}, {'DONE', how} or {'UNKNOWN'}.

if not fenced() then
  return { 'WRONG_EPOCH' }
end
local entry = redis.call('HGET', KEYS[2], ARGV[2])
if entry then
  return { 'KNOWN', entry }
end
local done = redis.call('HGET', KEYS[3], ARGV[2])
if done then
  return { 'DONE', done }
end
return { 'UNKNOWN' }
