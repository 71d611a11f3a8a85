-- Whether this Redis has sharded pub/sub (SSUBSCRIBE, SPUBLISH): Redis 7 and newer, which is also the first that tells
-- scripts its version. publish.lua judges in the same way.
-- Returns 1 or 0.
return (redis.REDIS_VERSION_NUM or 0) >= 0x070000 and 1 or 0
