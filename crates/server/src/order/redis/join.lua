-- Lets a hub write from now on, and no earlier life of it.   KEYS meta   ARGV hub, as node:life
local info = redis.call('INFO', 'server', 'replication')
local run = info:match('run_id:(%x+)') .. info:match('master_replid:(%x+)')
local m = redis.call('HMGET', KEYS[1], 'run', 'turn', 's:' .. ARGV[1])
if not m[1] then return {'NONE', 0} end
if m[1] ~= run then return {'CLOSED', 0} end
local own = 's:' .. ARGV[1]:match('^(%d+):') .. ':'
for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
  if field:sub(1, #own) == own and field ~= 's:' .. ARGV[1] then redis.call('HDEL', KEYS[1], field) end
end
if not m[3] then redis.call('HSET', KEYS[1], 's:' .. ARGV[1], 0) end
return {'OK', tonumber(m[2])}
