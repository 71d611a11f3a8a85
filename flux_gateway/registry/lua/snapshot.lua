-- One whole view of the registry: nodes, proxies, and the remaining life of each heartbeat in ms (-2: gone).
-- KEYS: nodes hash, proxies hash     ARGV: prefix of the heartbeat keys
-- Returns {nodes, proxies, ages}, each a flat list of pairs.
local nodes, proxies, life = redis.call('HGETALL', KEYS[1]), redis.call('HGETALL', KEYS[2]), {}
for _, members in ipairs({nodes, proxies}) do
  for i = 1, #members, 2 do
    life[#life + 1] = members[i]
    life[#life + 1] = redis.call('PTTL', ARGV[1] .. members[i])
  end
end
return {nodes, proxies, life}
