-- Stands before the scripts that notice when a key of the ballot is gone and others are not: somebody has deleted it.

-- lost says whether it is so, and if it is, ends the ballot's keys for good as seal does: what is left is not the ledger. The
-- epoch changes, and the next one is loaded from Postgres. After PERSIST Redis refuses no write for want of memory.
local function lost(so)
  -- mutant parts-may-go: so = false
  if so then
    redis.call('PERSIST', KEYS[1])
    redis.call('HSET', KEYS[1], 'sealed', '1')
  end
  return so
end

-- parted says that one of two keys is gone which are written together.
local function parted(a, b)
  return redis.call('EXISTS', a) ~= redis.call('EXISTS', b)
end

-- torn says that the outbox and its times do not speak of the same batches.
local function torn(outbox, times)
  return redis.call('HLEN', outbox) ~= redis.call('ZCARD', times)
end
