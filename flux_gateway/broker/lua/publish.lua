-- Publish into a channel: append to its stream and tell everybody who hears it, in one step and one order.
-- KEYS: stream, meta, and with an idempotency key: what came of it
-- ARGV: pub/sub channel, publication, epoch for a new stream, entries to keep (-1: neither append nor count),
--       life of the entries in ms, life of the meta in ms,
--       version ("0" for none), version epoch, life of the idempotency key in ms,
--       how to tell: "SPUBLISH" to the hearers at this master, if it can, else "PUBLISH"
-- Returns {offset, epoch}: of this publication, of an earlier one with the same idempotency key, or the top of the
-- stream if it has this version or a newer one already; {0, ""} if it was not counted.
local call = redis.call
local stream, meta, idem = KEYS[1], KEYS[2], KEYS[3]
-- Judged here, since a command may come on to a master with another version. See sharded.lua.
local publish = (redis.REDIS_VERSION_NUM or 0) >= 0x070000 and ARGV[10] or 'PUBLISH'
if idem then
  local earlier = call('GET', idem)
  if earlier then
    local offset, epoch = string.match(earlier, '^(%d+):(.*)$')
    return {tonumber(offset), epoch}
  end
end
local epoch, versioned = call('HGET', meta, 'e'), ARGV[7] ~= '0'
if epoch and versioned then
  local old = call('HMGET', meta, 'v', 've', 'o')
  -- Decimal strings: a version may be larger than what a Lua number holds exactly.
  if old[1] and (ARGV[8] == '' or ARGV[8] == old[2])
    and (#old[1] > #ARGV[7] or (#old[1] == #ARGV[7] and old[1] >= ARGV[7])) then
    return {tonumber(old[3] or '0'), epoch}
  end
end
if ARGV[4] == '-1' then
  if versioned then
    call('HSET', meta, 'e', epoch or ARGV[3], 'v', ARGV[7], 've', ARGV[8])
    call('PEXPIRE', meta, ARGV[6])
  end
  call(publish, ARGV[1], 'p0::' .. ARGV[2])
  if idem then
    call('SET', idem, '0:', 'PX', ARGV[9])
  end
  return {0, ''}
end
if not epoch then
  -- What an earlier stream may have left is removed below: it stands in the way of the first id.
  epoch = ARGV[3]
  call('HSET', meta, 'e', epoch)
end
local offset = call('HINCRBY', meta, 'o', 1)
local id = string.format('%.0f', offset)
local added = redis.pcall('XADD', stream, 'MAXLEN', '=', ARGV[4], id .. '-0', 'p', ARGV[2])
if added['err'] then
  -- The stream is ahead of its meta, or older, or no stream at all: neither can be relied on.
  epoch, offset, id = ARGV[3], 1, '1'
  call('DEL', stream, meta)
  call('HSET', meta, 'e', epoch, 'o', id)
  call('XADD', stream, '1-0', 'p', ARGV[2])
end
call('PEXPIRE', stream, ARGV[5])
if versioned then
  call('HSET', meta, 'v', ARGV[7], 've', ARGV[8])
end
call('PEXPIRE', meta, ARGV[6])
if idem then
  call('SET', idem, id .. ':' .. epoch, 'PX', ARGV[9])
end
call(publish, ARGV[1], 'p' .. id .. ':' .. epoch .. ':' .. ARGV[2])
return {offset, epoch}
