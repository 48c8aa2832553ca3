-- Ends the loading of a ballot: everything is there, and this is still the node that it was begun on.
-- KEYS: 1 marker; ARGV: 1 epoch. Replies {'WRONG_EPOCH'} or {'LOADED'}.

local m = redis.call('HMGET', KEYS[1], 'epoch', 'replid', 'sealed')
if m[1] ~= ARGV[1] or m[3] or not here(m[2]) then
  return { 'WRONG_EPOCH' }
end
redis.call('HDEL', KEYS[1], 'loading')
return { 'LOADED' }
