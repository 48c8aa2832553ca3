-- Remembers the keys of a batch from now on, for a batch that has waited in the outbox: what remembers its keys since
-- their admission may soon forget them, while Postgres does not know them yet.
-- KEYS: 1 marker, 2 outbox, 3 seen keys (prefix)
-- ARGV: 1 epoch, 2 replid, 3 batch id, 4 length of a key slice, 5 TTL of a key slice (both in ms), then key, body hash …
-- Replies {'WRONG_EPOCH'} or {'REMEMBERED'}.

if not fenced() then
  return { 'WRONG_EPOCH' }
end
if redis.call('HEXISTS', KEYS[2], ARGV[3]) == 1 then
  local slice = math.floor(now_ms() / tonumber(ARGV[4]))
  for i = 6, #ARGV, 2 do
    local sk = slice_key(KEYS[3], slice, ARGV[i])
    redis.call('HSET', sk, ARGV[i], ARGV[3] .. ARGV[i + 1])
    redis.call('PEXPIRE', sk, ARGV[5])
  end
end
return { 'REMEMBERED' }
