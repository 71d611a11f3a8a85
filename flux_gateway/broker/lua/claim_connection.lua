-- Count a client among its user's connections, if there are fewer than the limit; one that is counted already is always
-- let in again. Those whose time is over do not count.
-- KEYS: user     ARGV: client id, limit (0: none), life in ms
-- Returns 1 if it is counted.
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
local limit = tonumber(ARGV[2])
if limit > 0 and not redis.call('ZSCORE', KEYS[1], ARGV[1]) and redis.call('ZCARD', KEYS[1]) >= limit then
  return 0
end
redis.call('ZADD', KEYS[1], string.format('%.3f', now + ARGV[3] / 1000), ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
