-- Reads the newest ticket, and writes down its promotion if that is due.
-- KEYS: 1 marker, 2 ticket, 3 newestTicketVersion; ARGV: 1 epoch
-- Replies {'WRONG_EPOCH'}, or {'TICKET', now, last number, next version or '', value, version, cap, left, created,
-- expires}; the last six are missing if there never was a ticket. cap and left are -1 where there is no cap.

if not fenced() then
  return { 'WRONG_EPOCH' }
end
local now = now_ms()
local t = current(KEYS[2], now)
local last = redis.call('HGET', KEYS[2], 'last') or '0'
if not t then
  if lost(redis.call('EXISTS', KEYS[3]) == 1) then
    return { 'WRONG_EPOCH' }
  end
  return { 'TICKET', now, last, '' }
end
promote(KEYS[2], KEYS[3], t)
return { 'TICKET', now, last, t.next_version or '', t.value, t.version, t.cap, tostring(t.left), t.created,
  string.format('%.0f', t.expires) }
