-- Publish one message with history. Returns {seq, edges reached}; edges is -1 if the key was used before.
-- KEYS channel   ARGV payload, then pairs of option and value:
--   size  messages kept          ttl  seconds the history is kept      event  the message's event name
--   key   idempotency key        once seconds the key is kept          inbox  where edges send their receipts
--   expires  milliseconds since 1970 after which the message is no longer replayed
local option = {size = 100, ttl = 300}      -- @defaults
for i = 2, #ARGV, 2 do option[ARGV[i]] = ARGV[i + 1] end

local once = option.key and '{' .. KEYS[1] .. '}:once:' .. option.key
local earlier = once and call('GET', once)
if earlier then return {string.match(earlier, '^%S+'), -1} end
local seq, edges = append(KEYS[1], ARGV[1], option.size, option.ttl, option)
if once then call('SET', once, seq .. ' ' .. edges, 'EX', option.once or 300) end
return {seq, edges}
