local fault, deployment = check(KEYS, ARGV)
if fault then return redis.error_reply('ERR comet_publish: ' .. fault) end

