-- Count who is in a channel. Those whose time is over are removed first.
-- KEYS: presence, expiry
-- Returns {clients, users}: anonymous clients, whose user is empty, count as one user.
local time = redis.call('TIME')
for _, gone in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', time[1] + time[2] / 1000000)) do
  redis.call('HDEL', KEYS[1], gone)
  redis.call('ZREM', KEYS[2], gone)
end
local clients, users, seen = 0, 0, {}
for _, info in ipairs(redis.call('HVALS', KEYS[1])) do
  -- The user is the first element, after one byte that says "array". The others are of a kind that Redis cannot read.
  local read, _, user = pcall(cmsgpack.unpack_one, info, 1)
  if read then
    clients = clients + 1
    if not seen[user] then
      seen[user] = true
      users = users + 1
    end
  end
end
return {clients, users}
