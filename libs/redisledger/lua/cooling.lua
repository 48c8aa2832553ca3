-- Stands before the scripts that drop what is known of voters.

-- is_cold says that a voter's state may go once Postgres has it: its period is over, or its candidate no longer hot, and the
-- batch that changed it last is not young, so that no look-up is under way that began before it.
local function is_cold(rules, field, last, now, min_age)
  -- mutant evict-young: min_age = 0
  if now - made_ms(last) < min_age then
    return false
  end
  if rules.period then
    local period = string.match(field, '%d+$')
    return period and tonumber(period) < math.floor(now / rules.period)
  end
  local zero = rules.hot_for and string.find(field, '\0', 1, true)
  if not zero then
    return false
  end
  local candidate = string.sub(field, zero + 1)
  return #candidate ~= 16 or string.find(candidate, '%D') ~= nil
    or candidate < string.format('%016.0f', (now - rules.hot_for + 1) * 4096)
end
