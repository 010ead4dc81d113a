-- Another hub answers to the name server from now on, once the one that did so can run nothing any more.
-- KEYS meta   ARGV name and number of the new one, number of the one that did, where leases are
-- Answers OK; BUSY: it runs; WAIT: it stands still or is dead, and the others are about to write down which.
if redis.call('HGET', KEYS[1], 'host') == ARGV[1] then return {'OK', 0} end
if redis.call('EXISTS', ARGV[4] .. ARGV[3]) == 1 then return {'BUSY', 0} end
local may_write, is_seen = false, false
for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
  local node = field:match('^s:(%d+):')
  if node == ARGV[3] then
    may_write = true
  elseif node and node ~= ARGV[2] and redis.call('EXISTS', ARGV[4] .. node) == 1 then
    is_seen = true
  end
end
-- Where nobody else runs nobody can write it down. One that goes on again sees that it is not the host.
if may_write and is_seen then return {'WAIT', 0} end
redis.call('HSET', KEYS[1], 'host', ARGV[1])
return {'OK', 0}
