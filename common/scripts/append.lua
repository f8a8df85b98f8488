-- What every script that writes begins with. A channel's keys follow from its pub/sub name, which is KEYS[1]
-- everywhere: they share its Cluster slot because of the braces.
local call = redis.call

local function keys_of(channel)
  return '{' .. channel .. '}:top', '{' .. channel .. '}:log'
end

-- Read the clock, but never behind the newest tag: tags only grow, even when the clock is set back.
local function tag_after(newest)
  local now = call('TIME')
  local tag = now[1] * 1000000 + now[2]
  if newest and tag <= tonumber(newest) then tag = tonumber(newest) + 1 end
  return tag
end

local function milliseconds()
  local now = call('TIME')
  return now[1] * 1000 + math.floor(now[2] / 1000)
end

local function escape(text)
  return (string.gsub(text, '[^%w_.~-]', function(byte) return string.format('%%%02X', string.byte(byte)) end))
end

local function header(fields)
  local text = ''
  if fields.event then text = text .. ' event=' .. escape(fields.event) end
  if fields.expires then text = text .. ' expires=' .. escape(fields.expires) end
  if fields.inbox then text = text .. ' inbox=' .. escape(fields.inbox) end
  return text
end

-- Store, number and send one message in one atomic step, so that the order of the log is the order of delivery
-- (I1). A position must outlive the messages it points to by far, or every pause would look like a wipe.
local function append(channel, payload, size, ttl, fields)
  local top, log = keys_of(channel)
  local last = call('HMGET', top, 'o', 't')
  local offset, prev = last[1] or 0, last[2]
  local tag = tag_after(prev)
  prev = prev or string.format('%.0f', tag - 1)     -- a new log: its genesis is the microsecond before
  offset, tag = string.format('%.0f', offset + 1), string.format('%.0f', tag)
  call('HSET', top, 'o', offset, 't', tag)          -- the first write: out of memory is noticed here or never
  if offset == '1' then call('DEL', log) end        -- what a log that is gone has left behind
  local id = offset .. '-' .. tag
  if fields.event or fields.expires then
    call('XADD', log, 'MAXLEN', '~', size, id, 'p', prev, 'd', payload, 'e', fields.event or '', 'x', fields.expires or 0)
  else
    call('XADD', log, 'MAXLEN', '~', size, id, 'p', prev, 'd', payload)
  end
  call('EXPIRE', log, ttl)
  call('EXPIRE', top, math.max(86400, 10 * ttl))
  local frame = '\1C1 ' .. offset .. ' ' .. tag .. ' ' .. prev .. header(fields) .. '\n' .. payload
  return id, call('PUBLISH', channel, frame)
end
