-- Writes newer rules into a ballot's marker.
-- KEYS: 1 marker
-- ARGV: 1 epoch, 2 rules version, 3 state, 4 opens, 5 closes (in ms, '' for no bound), 6 rules for voters
--   (see voter_rules)
-- Replies {'WRONG_EPOCH'} or {'RULES'}.

local m = fenced('rules')
if not m then
  return { 'WRONG_EPOCH' }
end
if tonumber(ARGV[2]) > tonumber(m[1] or 0) then
  redis.call('PERSIST', KEYS[1]) -- a ballot can be closed at the memory limit, too: see settle
  redis.call('HSET', KEYS[1], 'rules', ARGV[2], 'state', ARGV[3], 'opens', ARGV[4], 'closes', ARGV[5], 'voter_votes', ARGV[6])
end
return { 'RULES' }
