-- Replaces the settings of the hubs, while no other one runs.   KEYS meta   ARGV settings, own number, where leases are
for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
  local node = field:match('^s:(%d+):')
  if node and node ~= ARGV[2] and redis.call('EXISTS', ARGV[3] .. node) == 1 then return {'BUSY', tonumber(node)} end
end
redis.call('HSET', KEYS[1], 'settings', ARGV[1])
return {'OK', 0}
