-- Publish one message with history. Returns {seq, edges reached}; edges is -1 when the key was used before.
-- KEYS channel   ARGV payload, then pairs of option and value:
--   size  messages kept          ttl  seconds the history is kept      event  the message's event name
--   key   idempotency key        once seconds a key is remembered      inbox  where edges send their receipts
--   expires  milliseconds since 1970 after which the message is not replayed any more
if string.find(KEYS[1], '[%s%c{}!*]') then
  return redis.error_reply('ERR comet_publish: a channel name has no white space, control characters, braces, ! or *')
end
if #ARGV[1] > math.huge then return redis.error_reply('ERR comet_publish: the message is too large') end
local option = {size = false, ttl = false, event = false, key = false, once = false, inbox = false, expires = false}
for i = 2, #ARGV, 2 do
  if option[ARGV[i]] == nil then return redis.error_reply('ERR comet_publish has no option ' .. ARGV[i]) end
  option[ARGV[i]] = ARGV[i + 1]
end

local once = option.key and '{' .. KEYS[1] .. '}:once:' .. option.key
local earlier = once and call('GET', once)
if earlier then return {earlier, -1} end
local seq, edges = append(KEYS[1], ARGV[1], option.size or 100, option.ttl or 300, option)
if once then call('SET', once, seq, 'EX', option.once or 300) end
return {seq, edges}
