local function milliseconds()
  return math.floor(tag_after(nil) / 1000)
end

-- The last epoch that can be, in the year 2255. One beyond it was written by another program: epochs begin again from the
-- clock. (Edges take no join frame beyond it, and beyond 1e14 epochs lose digits as they become a part of a key.)
local last_epoch = 9e12

-- Return an epoch after a given one that no log has used: the clock in milliseconds is ahead of all epochs; if it was
-- set back, the result is far away from the epochs in use.
local function unused_after(epoch)
  local now = milliseconds()
  if now > epoch then return now end
  return epoch + 1000 + tag_after(nil) % 1000
end
