-- Store bare messages in a channel's log, each once, although every edge that receives them hands them in.
-- All edges receive the messages of a channel in the same order. A join frame begins an epoch; from its own join on, an
-- edge counts the bare messages of each epoch: 1, 2, 3 ... The first edge that hands in number k of epoch b has it
-- stored; for the other edges it is done then. Every epoch up to `sealed` is complete.
-- An edge that joined later must wait until the epochs before its own are complete, because older edges hand those in.
-- Half a second after its join it stops waiting: the older edges are gone. If several wait, the oldest goes first.
-- KEYS channel   ARGV history size, history ttl, first epoch of this edge, then epoch, number, payload of each
-- Returns {number of messages done, state of the next one}: 'done' if none is left, 'wait' for an older edge, or
-- 'skipped' if it may be stored already, or was left out on purpose; then the edge delivers it live.
local top = keys_of(KEYS[1])
local state = call('HMGET', top, 'sealed', 'b', 'u')
local sealed, newest, unknown = tonumber(state[1] or 0), tonumber(state[2] or 0), tonumber(state[3] or 0)
local first, count = tonumber(ARGV[3]), 0

local function must_wait()
  local between = first - 1 - sealed
  local joined = between > 0 and call('HGET', top, 'j:' .. first)
  local waited = joined and milliseconds() - joined
  return joined and 0 <= waited and waited < 400 + 100 * math.min(between, 10)   -- below 0: the clock was set back
end

-- A log that was wiped, or went back to an older state, has lost its epochs, but the edges continue to count in them.
-- It does not know which messages of epochs up to `u` are stored. The next join begins an unused epoch, see sync.lua.
local function begin_again(epoch)
  newest = unused_after(epoch)
  unknown = newest
  call('HSET', top, 'b', newest, 'u', newest)
end

-- Return how many messages of an epoch are stored, or nothing if that is no longer known. An edge hands in its messages
-- in order, so in an epoch up to `u` all messages before this one were stored, or cannot be stored any more.
local function stored_before(epoch, number)
  local stored = call('HGET', top, 'k:' .. epoch)
  if stored then return tonumber(stored) end
  if epoch <= unknown then return number - 1 end
  if epoch > newest - 256 then return 0 end
end

-- An edge that leaves out some of its messages has delivered them live, because Redis refused them. An edge that hands
-- them in later must do the same.
local function note_gap(epoch, from, to)
  local field = 'g:' .. epoch
  call('HSET', top, field, (call('HGET', top, field) or '') .. from .. '-' .. to .. ' ')
end

local function in_gap(epoch, number)
  for from, to in string.gmatch(call('HGET', top, 'g:' .. epoch) or '', '(%d+)-(%d+) ') do
    if tonumber(from) <= number and number <= tonumber(to) then return true end
  end
  return false
end

for i = 4, #ARGV, 3 do
  local epoch, number = tonumber(ARGV[i]), tonumber(ARGV[i + 1])
  if must_wait() then return {count, 'wait'} end
  if epoch > last_epoch then return {count, 'skipped'} end
  if epoch > newest then begin_again(epoch) end
  local stored = stored_before(epoch, number)
  if not stored or number <= stored and in_gap(epoch, number) then return {count, 'skipped'} end
  if number > stored then
    append(KEYS[1], ARGV[i + 2], ARGV[1], ARGV[2], {})      -- an error if memory is full: nothing is counted then
    call('HSET', top, 'k:' .. epoch, number)
    if number > stored + 1 and epoch > unknown then note_gap(epoch, stored + 1, number - 1) end
  end
  if sealed < epoch - 1 then
    sealed = epoch - 1
    call('HSET', top, 'sealed', sealed)
  end
  count = count + 1
end
return {count, 'done'}
