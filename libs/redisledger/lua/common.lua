-- Stands before every script. KEYS[1] is the ballot's marker, ARGV[1] the epoch.

-- here says that this node is a master whose replication id is the given one. INFO replication is asked in the script
-- itself, since a node may change its role under an open connection. '' stands for a Redis without such ids (the embedded
-- one): then the random name of the keys is the only fence.
local function here(replid)
  if replid == '' then
    return true
  end
  local info = redis.pcall('INFO', 'replication')
  return type(info) == 'string'
    and string.find(info, 'role:master', 1, true) ~= nil
    and string.find(info, 'master_replid:' .. replid, 1, true) ~= nil
end

-- fenced returns the marker's fields of these names if this is the Redis, and this the name, that the epoch's ledger
-- stands in; nil if not. The marker holds the replication id of the node it was made on. It writes nothing.
local function fenced(...)
  local m = redis.call('HMGET', KEYS[1], 'epoch', 'replid', 'sealed', 'loading', ...)
  if m[1] ~= ARGV[1] or m[3] or m[4] then
    return nil
  end
  -- mutant no-replid: do return { unpack(m, 5) } end
  if not here(m[2]) then
    return nil
  end
  return { unpack(m, 5) }
end

local function now_ms()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

-- current returns the ticket whose [created, expires) holds now, or the last one that did: the stored successor
-- counts from its own beginning, whether or not anybody wrote that down yet. left is -1 where there is no cap.
local function current(ticket, now)
  local t = redis.call('HMGET', ticket,
    'value', 'version', 'number', 'cap', 'left', 'created', 'expires',
    'next_value', 'next_version', 'next_number', 'next_cap', 'next_created', 'next_expires')
  if t[8] and tonumber(t[12]) <= now then
    return { value = t[8], version = t[9], number = t[10], cap = t[11], left = tonumber(t[11]),
      created = t[12], expires = tonumber(t[13]), promoted = true }
  end
  if not t[1] then
    return nil
  end
  return { value = t[1], version = t[2], number = t[3], cap = t[4], left = tonumber(t[5]),
    created = t[6], expires = tonumber(t[7]), promoted = false, next_version = t[9] }
end

-- promote writes down that the successor is the newest ticket now. It takes no memory, so it begins with a write that is
-- never refused: see settle.
local function promote(ticket, newest, t)
  if not t.promoted then
    return
  end
  redis.call('PERSIST', ticket)
  redis.call('HSET', ticket, 'value', t.value, 'version', t.version, 'number', t.number, 'cap', t.cap,
    'left', t.cap, 'created', t.created, 'expires', t.expires)
  redis.call('HDEL', ticket, 'next_value', 'next_version', 'next_number', 'next_cap', 'next_created', 'next_expires')
  redis.call('SET', newest, t.version)
  t.promoted = false
end

-- slice_key names the small hash that remembers a key which was admitted in a slice of time.
local function slice_key(prefix, slice, key)
  local a, b = string.byte(key, 15, 16)
  return prefix .. slice .. ':' .. (a * 256 + b) % 4096
end

-- find_key returns what is remembered of a key, batch id and body hash; nil if it was not admitted within the window.
local function find_key(prefix, key, now, slice_ms, ttl_ms)
  local this = math.floor(now / slice_ms)
  for slice = this, this - math.floor(ttl_ms / slice_ms), -1 do
    local v = redis.call('HGET', slice_key(prefix, slice, key), key)
    if v then
      return v
    end
  end
  return nil
end

-- made_ms is the time that a UUIDv7 tells.
local function made_ms(id)
  local a, b, c, d, e, f = string.byte(id, 1, 6)
  return ((((a * 256 + b) * 256 + c) * 256 + d) * 256 + e) * 256 + f
end

local function hex(s)
  return (string.gsub(s, '.', function(c) return string.format('%02x', string.byte(c)) end))
end

-- place is where an id stands in a string of ids of 16 bytes, nil if it does not.
local function place(ids, id)
  for i = 1, #ids, 16 do
    if string.sub(ids, i, i + 15) == id then
      return i
    end
  end
  return nil
end

local function without(ids, id)
  local i = place(ids, id)
  return i and string.sub(ids, 1, i - 1) .. string.sub(ids, i + 16) or ids
end
