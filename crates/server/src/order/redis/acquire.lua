-- Takes the name of a hub, if nobody has it, or who had it is known to be dead.
-- KEYS lease   ARGV process, life, time in ms, the process before   ->  {1, 0} or {0, how long the other one has it}
local held = redis.call('GET', KEYS[1])
if held then
  local process = held:match('^(%x+):')
  if process ~= ARGV[1] and process ~= ARGV[4] then return {0, redis.call('PTTL', KEYS[1])} end
end
redis.call('SET', KEYS[1], ARGV[1] .. ':' .. ARGV[2], 'PX', ARGV[3])
return {1, 0}
