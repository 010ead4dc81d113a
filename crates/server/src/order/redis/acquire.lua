-- Takes the name of a hub, if nobody has it, or who had it is known to be dead.
-- KEYS lease   ARGV process, life, time in ms, the process before, what its lease has left at most if it is dead
-- Answers {1, 0} or {0, how long it is to be waited}.
local held = redis.call('GET', KEYS[1])
if held then
  local process, left = held:match('^(%x+):'), redis.call('PTTL', KEYS[1])
  if process ~= ARGV[1] and process ~= ARGV[4] then return {0, left} end
  -- Where the folder is a copy, that one runs, and renews its lease.
  if process == ARGV[4] and left > tonumber(ARGV[5]) then return {0, left - tonumber(ARGV[5])} end
end
redis.call('SET', KEYS[1], ARGV[1] .. ':' .. ARGV[2], 'PX', ARGV[3])
return {1, 0}
