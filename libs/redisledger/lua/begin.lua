-- Begins to load a ballot: makes its marker, on which every script but this one and finish says WRONG_EPOCH.
-- KEYS: 1 marker
-- ARGV: 1 epoch, 2 '1' if no vote was ever admitted before, 3 the last admission number, 4 rules version, 5 state, 6 opens,
--   7 closes (in ms, '' for no bound), 8 rules for voters (see voter_rules), 9 '1' if votes for hot candidates can be loaded
-- Replies {'WRONG_EPOCH'} (not a master, or the name is sealed or in use) or {'BEGUN', from}: votes for candidates whose id
-- tells this time (in ms) or a later one have to be loaded; none if it is ''.

-- replid_here returns this node's replication id; '' where the Redis has none, nil if it is not a master.
local function replid_here()
  local info = redis.pcall('INFO', 'replication')
  if type(info) ~= 'string' then
    return ''
  end
  if string.find(info, 'role:slave', 1, true) then
    return nil
  end
  return string.match(info, 'master_replid:(%x+)') or ''
end

local replid = replid_here()
local m = redis.call('HMGET', KEYS[1], 'sealed', 'loading')
if not replid or m[1] or (not m[2] and redis.call('EXISTS', KEYS[1]) == 1) then
  return { 'WRONG_EPOCH' }
end
local rules, now = voter_rules(ARGV[8]), now_ms()
local load = ''
local hot_from = ''
if ARGV[2] == '1' or ARGV[3] == '0' then
  hot_from = '0' -- there is nothing to load
elseif rules.hot_for and ARGV[9] == '1' then
  load = string.format('%.0f', math.max(0, now - rules.hot_for))
end
redis.call('HSET', KEYS[1], 'epoch', ARGV[1], 'replid', replid, 'loading', '1',
  'loaded', ARGV[2] == '1' and '0' or string.format('%.0f', now), 'admissions', ARGV[3],
  'rules', ARGV[4], 'state', ARGV[5], 'opens', ARGV[6], 'closes', ARGV[7], 'voter_votes', ARGV[8], 'hot_from', hot_from)
return { 'BEGUN', load }
