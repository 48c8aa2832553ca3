-- Makes the counts given the only ones, of a ballot that is closed and drained.
-- KEYS: 1 marker, 2 outbox, 3 tally, 4 updated; ARGV: 1 epoch, then name, count, time in ms, …
-- Replies {'WRONG_EPOCH'}, {'OPEN'} (not closed, or batches wait) or {'COUNTS'}.

local m = fenced('state')
if not m then
  return { 'WRONG_EPOCH' }
end
if m[1] ~= 'closed' or redis.call('HLEN', KEYS[2]) > 0 then
  return { 'OPEN' }
end
redis.call('DEL', KEYS[3], KEYS[4])
for i = 2, #ARGV, 3 do
  redis.call('HSET', KEYS[3], ARGV[i], ARGV[i + 1])
  redis.call('HSET', KEYS[4], ARGV[i], ARGV[i + 2])
end
return { 'COUNTS' }
