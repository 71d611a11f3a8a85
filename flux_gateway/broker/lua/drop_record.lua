-- Remove a session's record, unless the session has been attached elsewhere since. The fence stays for a while, so that
-- a node that was overtaken cannot bring the record back.
-- KEYS: session     ARGV: fence, life of the fence in ms
-- Returns 1 if it is gone.
local fence = redis.call('HGET', KEYS[1], 'f')
if fence and tonumber(fence) > tonumber(ARGV[1]) then
  return 0
end
redis.call('HDEL', KEYS[1], 'r')
redis.call('HSET', KEYS[1], 'f', ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
