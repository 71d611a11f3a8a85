-- Conclude that a member is dead: only if it is still the incarnation the caller saw and its heartbeat is still gone, so
-- that of many observers exactly one announces it, and none overrules a member that came back. Only the state is changed:
-- a record may hold fields of a newer version.
-- KEYS: members hash, heartbeat, timeline stream
-- ARGV: id, started_at the caller saw, state the caller saw, event, events channel, timeline length
-- Returns 1 if this call declared it.
local record = redis.call('HGET', KEYS[1], ARGV[1])
if not record or redis.call('EXISTS', KEYS[2]) == 1 then
  return 0
end
local seen = cjson.decode(record)
if seen.started_at ~= tonumber(ARGV[2]) or seen.state ~= ARGV[3] then
  return 0
end
local dead, found = string.gsub(record, '"state":"' .. ARGV[3] .. '"', '"state":"DEAD"', 1)
if found == 0 then
  return 0
end
redis.call('HSET', KEYS[1], ARGV[1], dead)
redis.call('XADD', KEYS[3], 'MAXLEN', '~', ARGV[6], '*', 'event', ARGV[4])
redis.call('PUBLISH', ARGV[5], ARGV[4])
return 1
