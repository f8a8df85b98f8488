-- Read the newest position of channels and the newest of their entries after a given offset. A channel that was never
-- written gets its genesis, so that an empty log has a position that can be proved, too. An edge that joins begins a
-- new epoch of bare messages (see adopt.lua), which is published to all edges. Returns {offset, tag, entries, epoch}
-- for each channel; if a key of one channel holds foreign data, or a new one has no room, its answer is the error, and
-- the others are still read.
-- KEYS channels   ARGV most entries, seconds a position is kept, the same of a channel without messages, then for each
-- channel: offset or '', and to join the newest epoch that the edge knows of it (0: none), else ''
--
-- When Redis was away, an edge joins all its channels again, fifty thousand perhaps. A call from a script costs more
-- than the command itself, and each write is repeated when an append-only file is loaded, so commands are combined.
local now = tag_after(nil)
local now_ms = string.sub(now, 1, -4)
local listeners   -- channel, number of edges that are subscribed to it, channel …

-- When memory is full, Redis refuses a script's writes unless an earlier one was one that it never refuses (DEL). The
-- first write here changes nothing and tells. Then names that nobody knows are refused, since anybody can ask for them;
-- and a DEL lets the others pass: to join a channel that is there takes a few bytes.
local full   -- unknown at first
local function memory_is_full()
  if full == nil then
    local none = '{' .. KEYS[1] .. '}:none'
    local answer = redis.pcall('SET', none, '', 'XX')
    full = type(answer) == 'table' and string.find(answer.err or '', 'OOM', 1, true) ~= nil
    call('DEL', none)
  end
  return full
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

-- A position is kept as long as it is read, which edges do for each channel that has subscribers. While no message was
-- ever published it is worth little: edges delete it when they let go (release.lua), and it expires soon if they cannot.
local function keep(top, offset)
  local left, ttl = call('TTL', top), offset == '0' and ARGV[3] or ARGV[2]
  if 0 <= left and left < ttl / 2 then call('EXPIRE', top, ttl) end
end

-- Write the genesis of a channel: a tag of a while ago, so that the first message, whichever version of append.lua
-- stores it, finds the position old and has it kept for long.
local function begin(top, log, fields)
  local genesis = string.format('%.0f', now - 61000000)
  call('DEL', log)
  call('HSET', top, 'o', '0', 't', genesis, unpack(fields))
  call('EXPIRE', top, ARGV[3])
  return {'0', genesis}
end

local function read(i, channel)
  local top, log = keys_of(channel)
  local since, known = ARGV[2 * i + 2], tonumber(ARGV[2 * i + 3])
  local last, entries, fields, epoch = redis.pcall('HMGET', top, 'o', 't', 'b', 'u'), {}, {}, 0
  if last.err then return last end
  local is_new = not (last[1] and last[2])
  if (is_new or known) and memory_is_full() and is_new and since == '' then
    return redis.error_reply('NOROOM the channel is new, and the memory of Redis is full')
  end
  if known then
    listeners = listeners or call('PUBSUB', 'NUMSUB', unpack(KEYS))
    epoch, fields = new_epoch(top, tonumber(last[3]), tonumber(last[4]) or 0, listeners[2 * i] <= 1, known)
  end
  if is_new then
    last = begin(top, log, fields)
  else
    if known then call('HSET', top, unpack(fields)) end
    if since == '' or last[1] == '0' then keep(top, last[1]) end
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
