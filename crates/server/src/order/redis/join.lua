-- Lets a hub write from now on.   KEYS meta   ARGV hub
local info = redis.call('INFO', 'server', 'replication')
local run = info:match('run_id:(%x+)') .. info:match('master_replid:(%x+)')
local m = redis.call('HMGET', KEYS[1], 'run', 'turn', 's:' .. ARGV[1])
if not m[1] then return {'NONE', 0} end
if m[1] ~= run then return {'CLOSED', 0} end
if not m[3] then redis.call('HSET', KEYS[1], 's:' .. ARGV[1], 0) end
return {'OK', tonumber(m[2])}
