-- The beginning of every script that writes. A channel's keys are derived from its pub/sub name, which is KEYS[1]
-- everywhere: the braces put them into its Cluster slot. (library.py replaces lines that end with `-- @name`.)
local call = redis.call      -- @call

local function keys_of(channel)
  local tag = '{' .. channel .. '}'
  return tag .. ':top', tag .. ':log'
end

-- Return the clock's microseconds as a tag, but always after the newest one: tags only grow, even when the clock is set
-- back. (They have 16 digits until the year 2286, so they compare as strings.)
local function tag_after(newest)
  local now = call('TIME')
  local tag = now[1] .. string.sub('00000' .. now[2], -6)
  if newest and tag <= newest then return string.format('%.0f', newest + 1) end
  return tag
end

local function header(fields)
  local function escape(text)
    return (string.gsub(text, '[^%w_.~-]', function(byte) return string.format('%%%02X', string.byte(byte)) end))
  end
  local text = ''
  if fields.event then text = text .. ' event=' .. escape(fields.event) end
  if fields.expires then text = text .. ' expires=' .. escape(fields.expires) end
  if fields.inbox then text = text .. ' inbox=' .. escape(fields.inbox) end
  return text
end

-- If another program wrote to the log, so that it is not a stream or its last entry is after ours, the log starts
-- again: subscribers that need its earlier messages are reset.
local function store(log, ...)
  if type(redis.pcall('XADD', log, ...)) == 'table' then
    call('DEL', log)
    call('XADD', log, ...)
  end
end

-- Store, number and send one message in one atomic step, so that the order of the log is the order of delivery (I1).
-- The position must outlive the messages by far, or every pause would look like a wipe. It is kept for at least a day,
-- so a busy channel need not extend that time at each message.
local function append(channel, payload, size, ttl, fields)
  local top, log = keys_of(channel)
  local last = call('HMGET', top, 'o', 't')
  local prev, number = last[2], (last[2] and last[1] or 0) + 1
  local offset = string.format('%.0f', number)      -- converted once: it is used as a text four times
  local tag = tag_after(prev)
  call('HSET', top, 'o', offset, 't', tag)          -- the first write: if memory is full, it fails here or nowhere
  if number == 1 then call('DEL', log) end          -- entries of an earlier log whose position is gone
  if not prev or number % 100 == 0 or tag - prev > 6e7 then call('EXPIRE', top, math.max(86400, 10 * ttl)) end
  prev = prev or string.format('%.0f', tag - 1)     -- a new log: its genesis is the microsecond before
  local seq = offset .. '-' .. tag
  if fields.event or fields.expires then
    store(log, 'MAXLEN', '~', size, seq, 'p', prev, 'd', payload, 'e', fields.event or '', 'x', fields.expires or 0)
  else
    store(log, 'MAXLEN', '~', size, seq, 'p', prev, 'd', payload)
  end
  call('EXPIRE', log, ttl)
  local fields_text = (fields.event or fields.expires or fields.inbox) and header(fields) or ''
  local frame = '\1C1 ' .. offset .. ' ' .. tag .. ' ' .. prev .. fields_text .. '\n' .. payload
  return seq, call('PUBLISH', channel, frame)
end
