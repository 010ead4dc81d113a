-- How many other hubs have a lease, and the last turn that one of them has applied.
-- KEYS meta   ARGV node, where leases are
local others, applied, counted = 0, 0, {}
local fields = redis.call('HGETALL', KEYS[1])
for i = 1, #fields, 2 do
  -- One that has just been let in has not said yet how far it is.
  local far = fields[i]:match('^d:(%d+)$')
  local node = far or fields[i]:match('^s:(%d+):')
  if node and node ~= ARGV[1] and redis.call('EXISTS', ARGV[2] .. node) == 1 then
    if not counted[node] then others, counted[node] = others + 1, true end
    if far then applied = math.max(applied, tonumber(fields[i + 1]:match('^%d+') or '0')) end
  end
end
return {others, applied}
