-- Let go of channels that an edge has unsubscribed from. One that no message was ever published to leaves nothing behind,
-- unless another edge has it. Of any other one the position is kept for long, whoever wrote it, and for however short.
-- KEYS channels   ARGV seconds a position is kept
local listeners = redis.call('PUBSUB', 'NUMSUB', unpack(KEYS))      -- channel, number of edges, channel …
for i, channel in ipairs(KEYS) do
  local top = '{' .. channel .. '}:top'
  local offset, left = redis.pcall('HGET', top, 'o'), redis.call('TTL', top)
  if offset == '0' then
    if listeners[2 * i] == 0 then redis.call('DEL', top) end
  elseif type(offset) == 'string' and 0 <= left and left < ARGV[1] / 2 then
    redis.call('EXPIRE', top, ARGV[1])
  end
end
return {}  -- the calls of scripts expect an array
