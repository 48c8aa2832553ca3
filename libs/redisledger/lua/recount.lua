-- Makes the counts given the only ones, of a ballot that is closed and drained, as of an admission number. Those of an earlier
-- number than the ballot has come late, and have no effect.
-- KEYS: 1 marker, 2 outbox, 3 tally, 4 updated; ARGV: 1 epoch, 2 admission number, then name, count, time in ms, …
-- Replies {'WRONG_EPOCH'}, {'OPEN'} (not closed, or batches wait) or {'COUNTS'}.

local m = fenced('state', 'admissions')
if not m then
  return { 'WRONG_EPOCH' }
end
if (m[1] ~= 'closed' and m[1] ~= 'certified') or redis.call('HLEN', KEYS[2]) > 0 then
  return { 'OPEN' }
end
if tonumber(ARGV[2]) < tonumber(m[2]) then
  return { 'COUNTS' }
end
redis.call('DEL', KEYS[3], KEYS[4]) -- what was closed stays within the memory that it had: see settle
redis.call('HSET', KEYS[1], 'admissions', ARGV[2])
for i = 3, #ARGV, 3 do
  redis.call('HSET', KEYS[3], ARGV[i], ARGV[i + 1])
  redis.call('HSET', KEYS[4], ARGV[i], ARGV[i + 2])
end
return { 'COUNTS' }
