-- Makes writes under conditions, by the server's clock. KEYS: one for each write. ARGV: 'all' (all
-- of them or none) or 'each', then four for each write:
--   verb and condition  p, t, d, c  with  a (always), n (absent), x (present), = (version)
--   version             for '='
--   TTL in ms           for p and t; empty: none
--   value               for p
-- and at the end, if replicas or disks are waited for behind this call, 'waits'.
--
-- Answers the server's time in us, then
--   all:  the versions there are now; or the position of what refused, and its frame if any
--   each: for every write a version, or {frame} or {} for refused, or {'', error}
-- where the version of what is absent now is ''.
--
-- A stored value is a frame: 'S1', 16 digits of version, 14 digits of deadline in ms (0: none),
-- the value. What was deleted leaves 'S0' and its version for a while, so that versions increase
-- even if the clock does not.

local HEAD, TOMB, TOMB_MS = 32, 18, 600000
local waits, changed = ARGV[4 * #KEYS + 2] == 'waits', false
local time = redis.call('TIME')
local now_us = time[1] * 1000000 + time[2]
local now_ms = math.floor(now_us / 1000)
local now = string.format('%.0f', now_us)

-- Version if live, last version, error.
local function look(key)
  local head = redis.pcall('GETRANGE', key, '0', '31')
  if type(head) == 'table' then return nil, 0, head.err end
  -- What is there and empty looks like what is absent.
  if head == '' and not redis.call('GET', key) then return nil, 0 end
  local mark, digits = string.match(head, '^(S[01])(%d+)$')
  local version = tonumber(string.sub(digits or '', 1, 16)) or 0
  if version > 0 and mark == 'S1' and #head == HEAD then return version, version end
  if version > 0 and mark == 'S0' and #head == TOMB then return nil, version end
  return nil, 0, 'CORRUPT not a frame of this format'
end

local function admits(verb, condition, wanted, live)
  if verb == 't' and not live then return false end
  if condition == 'n' then return not live end
  if condition == 'x' then return live ~= nil end
  if condition == '=' then return live == tonumber(wanted) end
  return true
end

-- Nothing is done by halves: what can be refused for want of memory comes first, or after what
-- cannot; and no key is ever gone in between, because in a slot that is moving, a Cluster refuses
-- the next command on a key that is not there.
local function apply(key, verb, ttl, value, live, last)
  local deadline = ttl == '' and 0 or now_ms + tonumber(ttl)
  if verb == 'p' then
    local version = string.format('%016.0f', math.max(now_us, last + 1))
    local frame = 'S1' .. version .. string.format('%014.0f', deadline) .. value
    if deadline == 0 then
      redis.call('SET', key, frame)
    else
      redis.call('SET', key, frame, 'PXAT', string.format('%.0f', deadline))
    end
    changed = true
    return version
  end
  if verb == 't' then
    redis.call('PERSIST', key)
    redis.call('SETRANGE', key, 18, string.format('%014.0f', deadline))
    changed = true
    -- Last: a deadline that has come by now removes the key.
    if deadline > 0 then redis.call('PEXPIREAT', key, string.format('%.0f', deadline)) end
  end
  if verb == 'd' and live then
    redis.call('PEXPIRE', key, TOMB_MS)
    redis.call('SET', key, 'S0' .. string.format('%016.0f', last), 'PX', TOMB_MS)
    changed = true
    return ''
  end
  return live and string.format('%016.0f', live) or ''
end

local function current(key, live)
  return live and { redis.call('GET', key) } or {}
end

-- Writes what is there once more. WAIT and WAITAOF ask for the last change that this connection has
-- sent to replicas and disks. A call that changes nothing sends none, so it would be confirmed though
-- what its answer tells, such as the change that refused it, is not. Its replicas have all that came
-- before what they confirm, so any key of the call will do.
local function repeat_last(key)
  local head = redis.call('GETRANGE', key, '0', '31')
  local deadline = tonumber(string.sub(head, 19, 32))
  if string.sub(head, 1, 2) == 'S1' and deadline == 0 then
    -- It changes nothing, but is taken by a full server, which then takes the other one, too.
    redis.call('PERSIST', key)
    redis.call('SETRANGE', key, '0', 'S1')
  elseif string.sub(head, 1, 2) == 'S1' then
    redis.call('PEXPIREAT', key, string.format('%.0f', deadline))
  elseif redis.call('PEXPIRE', key, redis.call('PTTL', key)) == 0 then
    -- Nothing was there: the mark of a deleted entry that is gone at once. After PEXPIRE, a full
    -- server takes it. The end of a mark that was there stays, else calls in a row would keep this.
    redis.call('SET', key, 'S0' .. string.format('%016.0f', 1), 'PX', '1')
  end
end

local replies = { now }
if ARGV[1] == 'each' then
  local sound
  for i, key in ipairs(KEYS) do
    local at = 4 * i - 2
    local live, last, problem = look(key)
    local verb, condition = string.sub(ARGV[at], 1, 1), string.sub(ARGV[at], 2, 2)
    if not problem then sound = key end
    if problem then
      replies[i + 1] = { '', problem }
    elseif admits(verb, condition, ARGV[at + 1], live) then
      local done, answer = pcall(apply, key, verb, ARGV[at + 2], ARGV[at + 3], live, last)
      replies[i + 1] = done and answer or { '', type(answer) == 'table' and answer.err or answer }
    else
      replies[i + 1] = current(key, live)
    end
  end
  if waits and not changed and sound then repeat_last(sound) end
  return replies
end

local lives, lasts = {}, {}
for i, key in ipairs(KEYS) do
  local at = 4 * i - 2
  local live, last, problem = look(key)
  if problem then return redis.error_reply(problem) end
  if not admits(string.sub(ARGV[at], 1, 1), string.sub(ARGV[at], 2, 2), ARGV[at + 1], live) then
    local found = current(key, live)
    if waits then repeat_last(key) end
    return { now, i, found }
  end
  lives[i], lasts[i] = live, last
end
-- Deletes go first: after a command that a full server takes, it takes the others of a script, too.
-- So nobody has to wait for memory to give some back.
for _, deletes in ipairs({ true, false }) do
  for i, key in ipairs(KEYS) do
    local at = 4 * i - 2
    local verb = string.sub(ARGV[at], 1, 1)
    if (verb == 'd') == deletes then
      replies[i + 1] = apply(key, verb, ARGV[at + 2], ARGV[at + 3], lives[i] or nil, lasts[i])
    end
  end
end
if waits and not changed then repeat_last(KEYS[1]) end
return replies
