-- Read the newest position of channels and the newest of their entries after a given offset. A channel that was never
-- written gets its genesis, so that an empty log has a position that can be proved, too. An edge that joins begins a
-- new epoch of bare messages (see adopt.lua), which is published to all edges. Returns {offset, tag, entries, epoch}
-- for each channel; if a key of one channel holds foreign data, its answer is the error, and the others are still read.
-- KEYS channels   ARGV most entries, seconds a position is kept, then for each channel: offset or '', and to join the
-- newest epoch that the edge knows of it (0: none), else ''
--
-- When Redis was away, an edge joins all its channels again, fifty thousand perhaps. A call from a script costs more
-- than the command itself, and each write is repeated when an append-only file is loaded, so commands are combined.
local now = tag_after(nil)
local now_ms = string.sub(now, 1, -4)
local listeners   -- channel, number of edges that are subscribed to it, channel …

-- When memory is full, Redis refuses a script's writes unless an earlier write was one that it never refuses (DEL). So
-- a DEL comes first: a join needs a few bytes per channel, and subscribers attach although nothing can be published.
local function prepare_to_join()
  listeners = call('PUBSUB', 'NUMSUB', unpack(KEYS))
  call('DEL', '{' .. KEYS[1] .. '}:none')
end

-- Return a new epoch, and the fields to write for it. A log without an epoch is new or was wiped; a log whose newest
-- epoch is before the one that the edge knows went back to an older state. In both cases epochs continue from the
-- clock: edges may still hold messages of epochs that the log has lost (`u`, see adopt.lua), and an epoch must not be
-- used twice.
-- An edge that is alone need not wait, since no other edge saw the messages published before. Otherwise the time of the
-- join decides how long it waits (adopt.lua); in a log without the epochs before, a tenth of a second is enough.
local function new_epoch(top, newest, unknown, alone, known)
  local fields, joined = {}, now_ms
  if not newest or newest < known or newest >= last_epoch then
    newest, joined = unused_after(known), now_ms - 400
    if newest >= last_epoch then newest = tonumber(now_ms) end
    unknown, fields = newest, {'u', newest, 'sealed', newest - 1}
  end
  local epoch = newest + 1
  if epoch - 32 > unknown then    -- counts are kept longest, for edges that were away; most epochs have none
    call('HDEL', top, 'j:' .. (epoch - 32), 'k:' .. (epoch - 256), 'g:' .. (epoch - 256))
  end
  for _, each in ipairs({'b', epoch, alone and 'sealed' or 'j:' .. epoch, alone and newest or joined}) do
    fields[#fields + 1] = each
  end
  return epoch, fields
end

-- A position is kept as long as it is read, which edges do for each channel that has subscribers.
local function keep(top)
  local left = call('TTL', top)
  if 0 <= left and left < ARGV[2] / 2 then call('EXPIRE', top, ARGV[2]) end
end

local function read(i, channel)
  local top, log = keys_of(channel)
  local since, known = ARGV[2 * i + 1], tonumber(ARGV[2 * i + 2])
  local last, entries, fields, epoch = redis.pcall('HMGET', top, 'o', 't', 'b', 'u'), {}, {}, 0
  if last.err then return last end
  local is_new = not (last[1] and last[2])
  if known then
    if not listeners then prepare_to_join() end
    epoch, fields = new_epoch(top, tonumber(last[3]), tonumber(last[4]) or 0, listeners[2 * i] <= 1, known)
  end
  if is_new then
    last = {'0', now}
    call('DEL', log)
    call('HSET', top, 'o', last[1], 't', last[2], unpack(fields))
    call('EXPIRE', top, ARGV[2])
  else
    if known then call('HSET', top, unpack(fields)) end
    if since == '' then keep(top) end
  end
  if known then call('PUBLISH', channel, '\1J1 ' .. epoch) end
  if not is_new and since ~= '' and since ~= last[1] then
    -- A log that is not a stream has no entries, and proves nothing.
    local newest = redis.pcall('XREVRANGE', log, '+', string.format('%.0f', since + 1) .. '-0', 'COUNT', ARGV[1])
    for k = #newest, 1, -1 do entries[#entries + 1] = newest[k] end
  end
  return {last[1], last[2], entries, epoch}
end

local answers = {}
for i, channel in ipairs(KEYS) do answers[i] = read(i, channel) end
return answers
