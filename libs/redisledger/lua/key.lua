-- Tells what Redis remembers of an idempotency key.
-- KEYS: 1 marker, 2 outbox, 3 seen keys (prefix); ARGV: 1 epoch, 2 key, 3 length of a key slice, 4 TTL of a key slice (ms)
-- Replies {'WRONG_EPOCH'}, {'ABSENT'}, {'PENDING', batch id} or {'SETTLED', batch id}.

if not fenced() then
  return { 'WRONG_EPOCH' }
end
local v = find_key(KEYS[3], ARGV[2], now_ms(), tonumber(ARGV[3]), tonumber(ARGV[4]))
if not v then
  return { 'ABSENT' }
end
local batch = string.sub(v, 1, 16)
return { redis.call('HEXISTS', KEYS[2], batch) == 1 and 'PENDING' or 'SETTLED', batch }
