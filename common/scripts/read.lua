-- Read logs in pieces, for subscribers that go on from a position: the newest position of each channel, and its oldest
-- entries after an offset, as many as the limits allow and at least one. With a limit of 0 bytes it is one entry without
-- its payload: where the messages after that offset begin. Nothing is written. Returns {offset, tag, entries, 0} for each
-- channel, as sync.lua does; a channel without a position, which edges have to sync, has 0 and 0.
-- KEYS channels   ARGV most bytes, most entries, then the offset of each channel

-- The size of an entry is that of its fields; a log that is not a stream has no entries, and proves nothing.
local function size_of(fields)
  local size = 0
  for _, text in ipairs(fields) do size = size + #text end
  return size
end

local function first(log, from)
  local entry = redis.pcall('XRANGE', log, from, '+', 'COUNT', 1)[1]
  if not entry then return {} end
  local fields = {}
  for i = 1, #entry[2], 2 do
    fields[i], fields[i + 1] = entry[2][i], entry[2][i] == 'd' and '' or entry[2][i + 1]
  end
  return {{entry[1], fields}}
end

-- Take a few entries at a time, since a step that goes far beyond the limit would be in vain.
local function piece(log, from, most_bytes, most_entries)
  local entries, bytes, step = {}, 0, 1
  while bytes < most_bytes and #entries < most_entries do
    local some = redis.pcall('XRANGE', log, from, '+', 'COUNT', step)
    for _, entry in ipairs(some) do
      if bytes < most_bytes and #entries < most_entries then
        entries[#entries + 1] = entry
        bytes = bytes + size_of(entry[2])
      end
    end
    if #some < step then break end
    from = string.format('%.0f', string.match(some[#some][1], '^%d+') + 1) .. '-0'
    step = math.max(1, math.min(64, math.ceil((most_bytes - bytes) * #entries / math.max(bytes, 1))))
  end
  return entries
end

local answers, most_bytes, most_entries = {}, tonumber(ARGV[1]), tonumber(ARGV[2])
for i, channel in ipairs(KEYS) do
  local tag = '{' .. channel .. '}'
  local top = redis.pcall('HMGET', tag .. ':top', 'o', 't')
  if top.err then
    answers[i] = top
  else
    local from = string.format('%.0f', ARGV[i + 2] + 1) .. '-0'
    local entries = most_bytes == 0 and first(tag .. ':log', from) or
      most_bytes > 0 and piece(tag .. ':log', from, most_bytes, most_entries)
    answers[i] = {top[1] or '0', top[2] or '0', entries, 0}
  end
end
return answers
