-- Read a channel's position and a part of its stream, in one step. An unknown channel begins a stream.
-- KEYS: stream, meta
-- ARGV: epoch for a new stream, life of the meta in ms, entries to read (0: none, -1: all),
--       XRANGE or XREVRANGE, from id, to id (as that command takes them), epoch the caller expects ("" for any)
-- Returns {offset, epoch, entries}; no entries if the epoch is another one.
local call = redis.call
local stream, meta = KEYS[1], KEYS[2]
local known = call('HMGET', meta, 'e', 'o')
local epoch, offset = known[1], tonumber(known[2] or '0')
if not epoch then
  epoch, offset = ARGV[1], 0
  call('DEL', stream, meta)
  call('HSET', meta, 'e', epoch)
end
call('PEXPIRE', meta, ARGV[2])
if ARGV[3] == '0' or (ARGV[7] ~= '' and ARGV[7] ~= epoch) then
  return {offset, epoch, {}}
end
if ARGV[3] == '-1' then
  return {offset, epoch, call(ARGV[4], stream, ARGV[5], ARGV[6])}
end
return {offset, epoch, call(ARGV[4], stream, ARGV[5], ARGV[6], 'COUNT', ARGV[3])}
