-- The last turn, if the log is open for this Redis in this generation.   KEYS meta   ARGV generation
local info = redis.call('INFO', 'server', 'replication')
local run = info:match('run_id:(%x+)') .. info:match('master_replid:(%x+)')
local m = redis.call('HMGET', KEYS[1], 'run', 'turn', 'gen')
if m[1] ~= run or m[3] ~= ARGV[1] then return {'CLOSED', 0} end
return {'OK', tonumber(m[2])}
