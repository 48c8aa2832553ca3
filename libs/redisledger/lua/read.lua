-- Reads counts, of the names given or of all.
-- KEYS: 1 marker, 2 tally, 3 updated; ARGV: 1 epoch, names …
-- Replies {'WRONG_EPOCH'}, or {'COUNTS', now, counts, times}; without names counts is name, count, name, count ….

if not fenced() or lost(parted(KEYS[2], KEYS[3])) then
  return { 'WRONG_EPOCH' }
end
if #ARGV > 1 then
  return { 'COUNTS', now_ms(), hmget(KEYS[2], ARGV, 2), hmget(KEYS[3], ARGV, 2) }
end
return { 'COUNTS', now_ms(), redis.call('HGETALL', KEYS[2]), redis.call('HGETALL', KEYS[3]) }
