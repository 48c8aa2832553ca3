-- Remembers the keys of a batch from now on, for a batch that has waited in the outbox: what remembers its keys since
-- their admission may soon forget them, while Postgres does not know them yet.
-- KEYS: 1 marker, 2 outbox, 3 seen keys (prefix)
-- ARGV: 1 epoch, 2 batch id, 3 length of a key slice, 4 TTL of a key slice (both in ms), then key, body hash …
-- Replies {'WRONG_EPOCH'} or {'REMEMBERED'}.

if not fenced() then
  return { 'WRONG_EPOCH' }
end
if redis.call('HEXISTS', KEYS[2], ARGV[2]) == 1 then
  redis.call('PERSIST', KEYS[2]) -- else no batch that waits is finished at the memory limit, and none frees any: see settle
  local slice = math.floor(now_ms() / tonumber(ARGV[3]))
  for i = 5, #ARGV, 2 do
    local sk = slice_key(KEYS[3], slice, ARGV[i])
    redis.call('HSET', sk, ARGV[i], ARGV[2] .. ARGV[i + 1])
    redis.call('PEXPIRE', sk, ARGV[4])
  end
end
return { 'REMEMBERED' }
