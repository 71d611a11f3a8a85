-- Remove a member for good: record, heartbeat and samples, and announce it.
-- KEYS: members hash, heartbeat, history stream, timeline stream
-- ARGV: id, started_at of the incarnation the caller saw ("" for any), event, events channel, timeline length
-- Returns 1 if there was such a record.
local record = redis.call('HGET', KEYS[1], ARGV[1])
if not record or (ARGV[2] ~= '' and cjson.decode(record).started_at ~= tonumber(ARGV[2])) then
  return 0
end
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('DEL', KEYS[2], KEYS[3])
redis.call('XADD', KEYS[4], 'MAXLEN', '~', ARGV[5], '*', 'event', ARGV[3])
redis.call('PUBLISH', ARGV[4], ARGV[3])
return 1
