-- Say that a client is in a channel, for `life` from now on. Those who did not say so in time are removed.
-- KEYS: presence, expiry     ARGV: client id, info, life in ms
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
for _, gone in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now, 'LIMIT', 0, 1000)) do
  redis.call('HDEL', KEYS[1], gone)
  redis.call('ZREM', KEYS[2], gone)
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('ZADD', KEYS[2], string.format('%.3f', now + ARGV[3] / 1000), ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
redis.call('PEXPIRE', KEYS[2], ARGV[3])
return 1
