local function milliseconds()
  return math.floor(tag_after(nil) / 1000)
end

-- Return an epoch that is after one in use and that no log has begun: they go by the clock in milliseconds, which is
-- ahead of them all; if it was set back, one that is far from those in use.
local function unused_after(epoch)
  local now = milliseconds()
  if now > epoch then return now end
  return epoch + 1000 + tag_after(nil) % 1000
end
