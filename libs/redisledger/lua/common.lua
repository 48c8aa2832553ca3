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

-- voter_rules reads what a marker says of voters and tickets: '' (no limit), the votes that a voter has, or those and
-- 'period per-candidate ticketless hot-for' behind them (times in ms, 0 for none).
local function voter_rules(text)
  if not text or text == '' then
    return {}
  end
  local limit, period, per_candidate, ticketless, hot_for = string.match(text, '^(%d*) (%d+) (%d) (%d) (%d+)$')
  if not period then
    return { limit = tonumber(text) }
  end
  local r = { limit = tonumber(limit), per_candidate = per_candidate == '1', ticketless = ticketless == '1' }
  if period ~= '0' then
    r.period = tonumber(period)
  elseif r.per_candidate and hot_for ~= '0' then
    r.hot_for = tonumber(hot_for)
  end
  return r
end

-- period_of is the number of the period that a moment belongs to, as text; nil where there are none.
local function period_of(rules, ms)
  return rules.period and string.format('%.0f', math.floor(ms / rules.period))
end

-- field_of names a voter's state among those of a ballot.
local function field_of(rules, voter, candidate, period)
  if rules.per_candidate then
    voter = voter .. '\0' .. candidate
  end
  if rules.period then
    voter = voter .. '\0' .. period
  end
  return voter
end

-- hot_id is the first id of an item that was made at that time or later; only 16 digits are an item's id.
local function hot_id(from)
  return string.format('%016.0f', from * 4096)
end

local function is_item(candidate)
  return #candidate == 16 and not string.find(candidate, '%D')
end

-- absent_is_none says what it means that a voter's state is not there: there are no votes; or else Postgres must be asked.
-- Of a hot candidate everything is there that ever was: loaded, or learnt since.
local memory
local function absent_is_none(rules, loaded, now, candidate)
  memory = memory or redis.call('HMGET', KEYS[1], 'hot_from', 'evicted')
  if loaded == 0 and not memory[2] then
    return true
  end
  return rules.hot_for and memory[1] and memory[1] ~= '' and is_item(candidate)
    and candidate >= hot_id(math.max(tonumber(memory[1]), now - rules.hot_for + 1))
end

-- is_cold says that a voter's state may go once Postgres has it: its period is over, or its candidate no longer hot, and the
-- batch that changed it last is not young, so that no look-up is under way that began before it.
local function is_cold(rules, field, last, now, min_age)
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
  return not is_item(candidate) or candidate < hot_id(now - rules.hot_for + 1)
end
