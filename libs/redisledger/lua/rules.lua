-- Writes newer rules into a ballot's marker; makes the marker of a ballot that is new in this epoch.
-- KEYS: 1 marker
-- ARGV: 1 epoch, 2 '1' if the marker may be made, 3 rules version, 4 state, 5 opens, 6 closes (in ms, '' for no bound),
--   7 votes per voter ('' for no limit)
-- Replies {'WRONG_EPOCH'} or {'RULES'}.

local rules = { 'rules', ARGV[3], 'state', ARGV[4], 'opens', ARGV[5], 'closes', ARGV[6], 'voter_votes', ARGV[7] }
local m = fenced('rules')
if m then
  if tonumber(ARGV[3]) > tonumber(m[1] or 0) then
    redis.call('PERSIST', KEYS[1]) -- a ballot can be closed at the memory limit, too: see settle
    redis.call('HSET', KEYS[1], unpack(rules))
  end
  return { 'RULES' }
end
local replid = replid_here()
if ARGV[2] ~= '1' or not replid or redis.call('EXISTS', KEYS[1]) == 1 then
  return { 'WRONG_EPOCH' }
end
redis.call('HSET', KEYS[1], 'epoch', ARGV[1], 'replid', replid, 'loaded', '0', 'admissions', '0', unpack(rules))
return { 'RULES' }
