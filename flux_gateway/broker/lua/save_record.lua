-- Write a session's record, unless the session has been attached elsewhere since: its fence would be higher.
-- KEYS: session     ARGV: fence, record, life in ms
-- Returns 1 if it was written.
local fence = redis.call('HGET', KEYS[1], 'f')
if fence and tonumber(fence) > tonumber(ARGV[1]) then
  return 0
end
redis.call('HSET', KEYS[1], 'f', ARGV[1], 'r', ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
