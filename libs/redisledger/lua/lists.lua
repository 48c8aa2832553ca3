-- Stands before the scripts that read lists of fields.

-- hmget reads any number of fields; unpack takes some thousands only.
local function hmget(key, fields, from)
  local values = {}
  for i = from, #fields, 1000 do
    local part = redis.call('HMGET', key, unpack(fields, i, math.min(i + 999, #fields)))
    for j = 1, #part do
      values[#values + 1] = part[j]
    end
  end
  return values
end
