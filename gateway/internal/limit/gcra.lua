-- Takes from all limits of one request, or from none of them. The generic cell rate algorithm, by this Redis's clock.
-- KEYS: one for each limit; each holds when all that was taken is made up for, in microseconds since 1970.
-- ARGV: how much is taken; then for each key the microseconds that one costs, and how many may come at once.
-- Reply: the number of the key that says to wait longest, 0 where all gave; and for how many microseconds.
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local n = tonumber(ARGV[1])
local due, at, wait = {}, 0, 0
for i, key in ipairs(KEYS) do
  local cost, burst = tonumber(ARGV[2 * i]), tonumber(ARGV[2 * i + 1])
  local from = math.max(tonumber(redis.call('GET', key) or now), now)
  due[i] = from + cost * math.min(n, burst)
  local over = due[i] - now - cost * burst
  if over > wait then
    at, wait = i, over
  end
end
if at > 0 then
  return {at, math.ceil(wait)}
end
for i, key in ipairs(KEYS) do
  redis.call('SET', key, string.format('%.0f', due[i]), 'PX', math.ceil((due[i] - now) / 1000))
end
return {0, 0}
