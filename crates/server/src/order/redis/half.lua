-- Half of a transfer waits. The other half, if it was here, is taken away and returned; the same one is replaced: whoever
-- had it is gone, or has come again.
-- KEYS name   ARGV this half, time in ms
local first = redis.call('GET', KEYS[1])
if first and first:sub(1, 1) ~= ARGV[1]:sub(1, 1) then
  redis.call('DEL', KEYS[1])
  return first
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return ''
