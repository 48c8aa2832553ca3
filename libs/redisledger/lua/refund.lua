-- Undoes an admission that became durable nowhere: only while nobody has claimed the batch.
-- KEYS: 1 marker, 2 outbox, 3 outbox times, 4 claims, 5 done, 6 ticket, 7 seen keys (prefix), 8 voters
-- ARGV: 1 epoch, 2 batch id, 3 TTL of done in ms, 4 ticket version, 5 uses, 6 slice of the keys, 7 when the batch was
--   admitted in ms, 8 number of keys, the keys, and per vote with a voter: the voter, the candidate, the vote's id, the id
--   of the vote that it retracts ('' if there is none), the period of that vote if this is a retraction ('' if not)
-- Replies {'WRONG_EPOCH'}, {'REFUNDED'} or {'NO', how}; how as in settle.

local m = fenced('voter_votes')
if not m then
  return { 'WRONG_EPOCH' }
end
if redis.call('HEXISTS', KEYS[2], ARGV[2]) == 0 then
  return { 'NO', redis.call('HGET', KEYS[5], ARGV[2]) or '' }
end
local claimed = redis.call('HEXISTS', KEYS[4], ARGV[2]) == 1
-- mutant refund-claimed: claimed = false
if claimed then
  return { 'NO', '' }
end
local rules = voter_rules(m[1])
redis.call('PERSIST', KEYS[2])
redis.call('HDEL', KEYS[2], ARGV[2])
redis.call('ZREM', KEYS[3], ARGV[2])
redis.call('HSET', KEYS[5], ARGV[2], 'R')
redis.call('PEXPIRE', KEYS[5], ARGV[3])
local t = redis.call('HMGET', KEYS[6], 'version', 'left')
if t[1] == ARGV[4] and t[2] ~= '-1' then
  redis.call('HINCRBY', KEYS[6], 'left', ARGV[5])
end
local keys = tonumber(ARGV[8])
for i = 9, 8 + keys do
  redis.call('HDEL', slice_key(KEYS[7], ARGV[6], ARGV[i]), ARGV[i])
end
for i = 9 + keys, #ARGV, 5 do
  local period = ARGV[i + 4] ~= '' and ARGV[i + 4] or period_of(rules, tonumber(ARGV[7]))
  local field = field_of(rules, ARGV[i], ARGV[i + 1], period)
  local state = redis.call('HGET', KEYS[8], field)
  if state then
    local ids = without(string.sub(state, 17), ARGV[i + 2]) .. ARGV[i + 3]
    redis.call('HSET', KEYS[8], field, string.sub(state, 1, 16) .. ids)
  end
end
return { 'REFUNDED' }
