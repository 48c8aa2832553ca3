-- Lists states of voters that need not be kept: of candidates that are no longer hot, or of periods that are over.
-- KEYS: 1 marker, 2 voters, 3 outbox; ARGV: 1 epoch, 2 how old the last batch's id must be in ms, 3 cursor, 4 about how many
--   to look at
-- Replies {'WRONG_EPOCH'} or {'COLD', next cursor, field, last batch, …}.

local m = fenced('voter_votes')
if not m then
  return { 'WRONG_EPOCH' }
end
local rules = voter_rules(m[1])
local reply = { 'COLD', '0' }
if rules.period or rules.hot_for then
  local now = now_ms()
  local page = redis.call('HSCAN', KEYS[2], ARGV[3], 'COUNT', ARGV[4])
  reply[2] = page[1]
  for i = 1, #page[2], 2 do
    local field, last = page[2][i], string.sub(page[2][i + 1], 1, 16)
    if is_cold(rules, field, last, now, tonumber(ARGV[2])) and redis.call('HEXISTS', KEYS[3], last) == 0 then
      reply[#reply + 1] = field
      reply[#reply + 1] = last
    end
  end
end
return reply
