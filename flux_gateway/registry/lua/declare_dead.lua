-- Conclude that a member is dead: only if its record is still the one the caller saw and its heartbeat is still gone,
-- so that of many observers exactly one announces it, and none overrules a member that came back.
-- KEYS: members hash, heartbeat, timeline stream
-- ARGV: id, record the caller saw, record to write, event, events channel, timeline length
-- Returns 1 if this call declared it.
if redis.call('EXISTS', KEYS[2]) == 1 or redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then
  return 0
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
redis.call('XADD', KEYS[3], 'MAXLEN', '~', ARGV[6], '*', 'event', ARGV[4])
redis.call('PUBLISH', ARGV[5], ARGV[4])
return 1
