-- What a Redis Function checks before it publishes; our own publisher has checked it already.
if string.find(KEYS[1], '[%s%c{}!*]') then
  return redis.error_reply('ERR comet_publish: a channel name has no white space, control characters, braces, ! or *')
end
if #ARGV[1] > MAX_MESSAGE_BYTES then
  return redis.error_reply('ERR comet_publish: the message has ' .. #ARGV[1] .. ' bytes, at most ' .. MAX_MESSAGE_BYTES)
end
local known = {size = 1, ttl = 1, event = 1, key = 1, once = 1, inbox = 1, expires = 1}
for i = 2, #ARGV, 2 do
  if not known[ARGV[i]] or not ARGV[i + 1] then
    return redis.error_reply('ERR comet_publish: options are pairs of name and value; ' .. ARGV[i] .. ' is not one')
  end
end
