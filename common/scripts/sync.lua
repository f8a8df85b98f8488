-- Read where channels stand and the newest of what they hold after a given offset; give a channel that was never written its
-- genesis, so that an empty log has a position that can be proved, too. With `join`, begin a new bare epoch (see
-- adopt.lua) and tell every edge. Returns {offset, tag, entries, epoch} for each channel.
-- KEYS channels   ARGV most entries, seconds a position is kept, then for each channel: offset or '', '1' to join or ''
--
-- Before any write that Redis refuses when its memory is full comes one that it does not refuse (DEL, HDEL), which
-- lets the rest pass: a few bytes per channel, and subscribers are seated when nothing can be published.
local function join(channel, top, newest)
  local epoch = (newest or 0) + 1
  local now = math.floor(tag_after(nil) / 1000)
  call('HDEL', top, 'k:' .. (epoch - 32), 'j:' .. (epoch - 32), 'g:' .. (epoch - 32))
  if call('PUBSUB', 'NUMSUB', channel)[2] <= 1 then   -- nobody else can have seen what was published before
    call('HSET', top, 'b', epoch, 'j:' .. epoch, string.format('%.0f', now), 'sealed', epoch - 1)
  else
    call('HSET', top, 'b', epoch, 'j:' .. epoch, string.format('%.0f', now))
  end
  call('PUBLISH', channel, '\1J1 ' .. epoch)
  return epoch
end

local answers = {}
for i, channel in ipairs(KEYS) do
  local top, log = keys_of(channel)
  local since, joins = ARGV[2 * i + 1], ARGV[2 * i + 2] == '1'
  local last, entries = call('HMGET', top, 'o', 't', 'b'), {}
  if not last[1] then
    last = {'0', tag_after(nil), false}
    call('DEL', log)
    call('HSET', top, 'o', last[1], 't', last[2])
    call('EXPIRE', top, ARGV[2])
  elseif since ~= '' and since ~= last[1] then
    local newest = call('XREVRANGE', log, '+', string.format('%.0f', since + 1) .. '-0', 'COUNT', ARGV[1])
    for k = #newest, 1, -1 do entries[#entries + 1] = newest[k] end
  end
  answers[i] = {last[1], last[2], entries, joins and join(channel, top, last[3]) or 0}
end
return answers
