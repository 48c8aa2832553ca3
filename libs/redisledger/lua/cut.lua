-- Reads in one act what a reconciler compares with Postgres: the tally, the last admission number, and which admissions
-- are in the outbox and so not yet in the tally.
-- KEYS: 1 marker, 2 tally, 3 outbox, 4 outbox times; ARGV: 1 epoch, 2 most batches in the outbox
-- Replies {'WRONG_EPOCH'}, {'MANY'} (more batches than that wait) or
-- {'CUT', now, last admission number, name, count, … in one list, batch id, verdict, … in one list}.

local m = fenced('admissions')
if not m or lost(torn(KEYS[3], KEYS[4])) then
  return { 'WRONG_EPOCH' }
end
if redis.call('HLEN', KEYS[3]) > tonumber(ARGV[2]) then
  return { 'MANY' }
end
local waiting = {}
for _, id in ipairs(redis.call('ZRANGE', KEYS[4], 0, -1)) do
  waiting[#waiting + 1] = id
  waiting[#waiting + 1] = string.match(redis.call('HGET', KEYS[3], id), '^[^\n]*')
end
return { 'CUT', now_ms(), m[1], redis.call('HGETALL', KEYS[2]), waiting }
