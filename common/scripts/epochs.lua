local function milliseconds()
  return math.floor(tag_after(nil) / 1000)
end

-- Return an epoch after a given one that no log has used: the clock in milliseconds is ahead of all epochs; if it was
-- set back, the result is far away from the epochs in use.
local function unused_after(epoch)
  local now = milliseconds()
  if now > epoch then return now end
  return epoch + 1000 + tag_after(nil) % 1000
end
