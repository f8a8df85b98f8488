-- Run at the beginning of each call; guard.lua is run once, when a library of functions is loaded.
local fault, deployment = check(KEYS, ARGV)
if fault then return redis.error_reply('ERR comet_publish: ' .. fault) end

