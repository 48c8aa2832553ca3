-- Tells what is known of a voter's votes, without a change.
-- KEYS: 1 marker, 2 voters, 3 outbox; ARGV: 1 epoch, 2 voter, then candidates, '' where none is meant
-- Replies {'WRONG_EPOCH'} or {'VOTER', '1' if the limit is per candidate, period of now (-1: the ballot has none), then per
-- candidate: ids of the votes that count (false: unknown), 1 if the last batch that changed them is in the outbox}.

local m = fenced('voter_votes', 'loaded')
if not m then
  return { 'WRONG_EPOCH' }
end
local rules, now = voter_rules(m[1]), now_ms()
local period = period_of(rules, now)
local reply = { 'VOTER', rules.per_candidate and '1' or '0', period or '-1' }
for i = 3, #ARGV do
  local v = redis.call('HGET', KEYS[2], field_of(rules, ARGV[2], ARGV[i], period))
  local ids, waits = false, 0
  if v then
    ids, waits = string.sub(v, 17), redis.call('HEXISTS', KEYS[3], string.sub(v, 1, 16))
  elseif absent_is_none(rules, tonumber(m[2]), now, ARGV[i]) then
    ids = ''
  end
  reply[#reply + 1] = ids
  reply[#reply + 1] = waits
end
return reply
