-- Read where channels stand and the newest of what they hold after a given offset; give a channel that was never written its
-- genesis, so that an empty log has a position that can be proved, too. With `join`, begin a new bare epoch (see
-- adopt.lua) and tell every edge. Returns {offset, tag, entries, epoch} for each channel.
-- KEYS channels   ARGV most entries, seconds a position is kept, then for each channel: offset or '', '1' to join or ''
--
-- When Redis was away an edge joins all its channels again, fifty thousand perhaps. A call from a script costs more
-- than what is called, and each write is repeated when an append-only file is loaded: what can go together, does.
local now = tag_after(nil)
local milliseconds = string.sub(now, 1, -4)
local listeners   -- channel, how many edges are subscribed to it, channel …

-- Before any write that Redis refuses when its memory is full comes one that it does not refuse (DEL, HDEL), which
-- lets the rest pass: a few bytes per channel, and subscribers are seated when nothing can be published.
local function prepare_to_join()
  listeners = call('PUBSUB', 'NUMSUB', unpack(KEYS))
  call('HDEL', keys_of(KEYS[1]), '')
end

-- Return what to write of a new epoch. An edge that is alone waits for nobody: nobody else saw what was published before.
-- Else the time of its joining says how long it waits.
local function new_epoch(top, epoch, alone)
  if epoch > 32 then call('HDEL', top, 'k:' .. (epoch - 32), 'j:' .. (epoch - 32), 'g:' .. (epoch - 32)) end
  if alone then return {'b', epoch, 'sealed', epoch - 1} end
  return {'b', epoch, 'j:' .. epoch, milliseconds}
end

local answers = {}
for i, channel in ipairs(KEYS) do
  local top, log = keys_of(channel)
  local since, joins = ARGV[2 * i + 1], ARGV[2 * i + 2] == '1'
  local last, entries, fields, epoch = call('HMGET', top, 'o', 't', 'b'), {}, {}, 0
  local is_new = not last[1]
  if joins then
    if not listeners then prepare_to_join() end
    epoch = (last[3] or 0) + 1
    fields = new_epoch(top, epoch, listeners[2 * i] <= 1)
  end
  if is_new then
    last = {'0', now}
    call('DEL', log)
    call('HSET', top, 'o', last[1], 't', last[2], unpack(fields))
    call('EXPIRE', top, ARGV[2])
  elseif joins then
    call('HSET', top, unpack(fields))
  end
  if joins then call('PUBLISH', channel, '\1J1 ' .. epoch) end
  if not is_new and since ~= '' and since ~= last[1] then
    local newest = call('XREVRANGE', log, '+', string.format('%.0f', since + 1) .. '-0', 'COUNT', ARGV[1])
    for k = #newest, 1, -1 do entries[#entries + 1] = newest[k] end
  end
  answers[i] = {last[1], last[2], entries, epoch}
end
return answers
