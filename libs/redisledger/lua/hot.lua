-- Loads voters' votes for hot candidates, between begin and finish. What comes later than that has no effect.
-- KEYS: 1 marker, 2 voters; ARGV: 1 epoch, 2 from when on they are all there now (in ms, '' for not yet), then voter,
--   candidate, ids of the votes that count, …
-- Replies {'WRONG_EPOCH'} or {'HOT'}.

local m = redis.call('HMGET', KEYS[1], 'epoch', 'sealed', 'loading', 'voter_votes')
if m[1] ~= ARGV[1] or m[2] or not m[3] then
  return { 'WRONG_EPOCH' }
end
local rules = voter_rules(m[4])
local none = string.rep('\0', 16) -- no batch has changed them
for i = 3, #ARGV, 3 do
  redis.call('HSET', KEYS[2], field_of(rules, ARGV[i], ARGV[i + 1]), none .. ARGV[i + 2])
end
if ARGV[2] ~= '' then
  redis.call('HSET', KEYS[1], 'hot_from', ARGV[2])
end
return { 'HOT' }
