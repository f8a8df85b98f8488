-- The checks before anything is written, for callers other than our own publisher, which has made them: all that /pub
-- refuses is refused here, with a sentence. Deployments may share a Redis: each has its prefix, and its limit in bytes.
local deployments = {
  ['comet:'] = {limit = 65536},      -- @deployments
}
-- The prefixes of all deployments that are in use on this server, also of those that are not in the table above.
local in_use = {
  -- @in_use
}

-- Unicode's white space and control characters beyond ASCII, and the byte sequences of UTF-8.
local odd = {'\194[\128-\160]', '\225\154\128', '\226\128[\128-\138\168\169\175]', '\226\129\159', '\227\128\128'}
local sequences = {
  '[\194-\223][\128-\191]', '\224[\160-\191][\128-\191]', '[\225-\236\238\239][\128-\191][\128-\191]',
  '\237[\128-\159][\128-\191]', '\240[\144-\191][\128-\191][\128-\191]',
  '[\241-\243][\128-\191][\128-\191][\128-\191]', '\244[\128-\143][\128-\191][\128-\191]',
}

local function is_utf8(text)
  if not string.find(text, '[\128-\255]') then return true end
  for _, sequence in ipairs(sequences) do text = string.gsub(text, sequence, ' ') end
  return not string.find(text, '[\128-\255]')
end

local function has_space_or_control(text)
  if string.find(text, '[%s%c]') then return true end
  for _, character in ipairs(odd) do
    if string.find(text, character) then return true end
  end
end

local function has_at_most(text, most)
  return #text <= most or select(2, string.gsub(text, '[^\128-\191]', '')) <= most
end

-- Return the settings of a channel's deployment and the channel's name in it; nothing if no deployment has its prefix.
local function deployment_of(channel)
  local deployment, name
  for prefix, settings in pairs(deployments) do
    if string.sub(channel, 1, #prefix) == prefix and not (name and #name < #channel - #prefix) then
      deployment, name = settings, string.sub(channel, #prefix + 1)
    end
  end
  return deployment, name
end

-- Return the prefix of another deployment that a channel belongs to, since it is longer than that of `name`.
local function owner_of(channel, name)
  local owner
  for _, prefix in ipairs(in_use) do      -- in their order: the longest comes last
    if #prefix > #channel - #name and string.sub(channel, 1, #prefix) == prefix then owner = prefix end
  end
  return owner
end

local function fault_of_name(name)
  if not name then return 'the key must be a channel as it is named in Redis, like ' .. next(deployments) .. 'room' end
  if name == '' then return 'the channel has no name; give one key, for example ' .. next(deployments) .. 'room' end
  if #name > 255 then return 'a channel name has at most 255 bytes, this one has ' .. #name end
  if string.find(name, '^[%w_.:/-]+$') then return end
  if not is_utf8(name) then return 'a channel name must be valid UTF-8' end
  if string.find(name, '[{}!*]') or has_space_or_control(name) then
    return 'a channel name has no white space, control characters, braces, ! or *'
  end
end

local reserved = {welcome = 1, reset = 1, close = 1, error = 1}

local function fault_of_event(event)
  if reserved[event] then return event .. ' is reserved; choose another name' end
  if not (is_utf8(event) and has_at_most(event, 128)) or string.find(event, '[\r\n%z]') then
    return 'give at most 128 characters of UTF-8, without CR, LF and NUL'
  end
end

local function fault_of_key(key)
  if key == '' or not (is_utf8(key) and has_at_most(key, 128)) or has_space_or_control(key) then
    return 'give 1 to 128 printable characters of UTF-8 without white space'
  end
end

local function fault_of_inbox(inbox)
  if #inbox > 85 or not string.find(inbox, '^%w+%.%d+$') then return 'is written owner.number' end
end

local function whole(most)
  return function(text)
    if #text > #most or not string.find(text, '^[1-9]%d*$') or tonumber(text) > tonumber(most) then
      return 'give a whole number from 1 to ' .. most
    end
  end
end

local fault_of = {
  event = fault_of_event, key = fault_of_key, inbox = fault_of_inbox,
  size = whole('100000'), ttl = whole('2592000'), once = whole('2592000'), expires = whole('9999999999999999'),
}

local function fault_of_options(arguments)
  for i = 2, #arguments, 2 do
    local name, value = arguments[i], arguments[i + 1]
    if not (fault_of[name] and value) then
      return 'options are pairs of name and value; ' .. string.sub(name, 1, 128) .. ' is not one'
    end
    local fault = fault_of[name](value)
    if fault then return name .. ': ' .. fault end
  end
end

-- Return what is wrong with a call, or nil and the settings of its deployment.
local function check(keys, arguments)
  if #keys ~= 1 then return 'give one key, the name of the channel in Redis' end
  local deployment, name = deployment_of(keys[1])
  local fault = fault_of_name(name)
  if fault then return fault end
  local owner = owner_of(keys[1], name)
  if owner then
    return 'the channel belongs to another deployment, of the prefix ' .. owner .. ', and no publisher of it has ' ..
      'installed this function'
  end
  if not arguments[1] then return 'the message is missing; give it after the key' end
  local size = #arguments[1]
  if size > deployment.limit then return 'the message has ' .. size .. ' bytes, at most ' .. deployment.limit end
  return fault_of_options(arguments), deployment
end
