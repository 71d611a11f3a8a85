-- Read who is in a channel. Those whose time is over are removed first.
-- KEYS: presence, expiry
-- Returns a flat list of pairs: client id, info.
local time = redis.call('TIME')
for _, gone in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', time[1] + time[2] / 1000000)) do
  redis.call('HDEL', KEYS[1], gone)
  redis.call('ZREM', KEYS[2], gone)
end
return redis.call('HGETALL', KEYS[1])
