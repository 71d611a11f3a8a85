-- Write a member's record, refresh its heartbeat and announce an event, in one step.
-- KEYS: members hash, heartbeat, timeline stream, history stream
-- ARGV: id, record, heartbeat life in ms (0: remove the heartbeat), event ("" for none), events channel,
--       timeline length, history length (0: keep none)
-- Returns the record that stood there before, or false.
local before = redis.call('HGET', KEYS[1], ARGV[1])
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
if tonumber(ARGV[3]) > 0 then
  redis.call('SET', KEYS[2], '1', 'PX', ARGV[3])
else
  redis.call('DEL', KEYS[2])
end
if ARGV[4] ~= '' then
  redis.call('XADD', KEYS[3], 'MAXLEN', '~', ARGV[6], '*', 'event', ARGV[4])
  redis.call('PUBLISH', ARGV[5], ARGV[4])
end
if tonumber(ARGV[7]) > 0 then
  redis.call('XADD', KEYS[4], 'MAXLEN', '~', ARGV[7], '*', 'record', ARGV[2])
  redis.call('EXPIRE', KEYS[4], 3600)
end
return before
