-- Announce a deployment, and return all that are in use on this server, whatever their database: those that were
-- announced in the last seconds. They are in one sorted set, in database 0, since pub/sub knows no databases: each is the
-- number of its database, a blank and its prefix, with the seconds of Redis' clock as its score. Versions run side by
-- side: the form must never change.
-- KEYS the set   ARGV number of the database, prefix, seconds
if ARGV[1] ~= '0' then redis.call('SELECT', 0) end      -- until the script ends
local now = tonumber(redis.call('TIME')[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[3])
redis.call('ZADD', KEYS[1], now, ARGV[1] .. ' ' .. ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[3])
return redis.call('ZRANGE', KEYS[1], 0, 999)
