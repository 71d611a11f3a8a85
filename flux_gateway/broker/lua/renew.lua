-- Begin a new stream in the place of one that is behind what a node has already heard from it: Redis has lost a part, as
-- in a fail-over to a replica that lagged. Its next publications would bear offsets that were given before.
-- KEYS: stream, meta     ARGV: offset the node has heard, epoch it belongs to
-- Returns 1 if there was such a stream; the next one who publishes or reads begins the new one.
local known = redis.call('HMGET', KEYS[2], 'e', 'o')
if known[1] ~= ARGV[2] or tonumber(known[2] or '0') >= tonumber(ARGV[1]) then
  return 0
end
redis.call('DEL', KEYS[1], KEYS[2])
return 1
