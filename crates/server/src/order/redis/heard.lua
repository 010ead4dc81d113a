-- How many other hubs have a lease, and the last turn that one of them has applied.
-- KEYS meta   ARGV node, where leases are
local others, applied = 0, 0
local fields = redis.call('HGETALL', KEYS[1])
for i = 1, #fields, 2 do
  local node = fields[i]:match('^d:(%d+)$')
  if node and node ~= ARGV[1] and redis.call('EXISTS', ARGV[2] .. node) == 1 then
    others, applied = others + 1, math.max(applied, tonumber(fields[i + 1]:match('^%d+')))
  end
end
return {others, applied}
