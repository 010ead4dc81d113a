-- The last turn, if the log is open for this Redis.   KEYS meta
local info = redis.call('INFO', 'server', 'replication')
local run = info:match('run_id:(%x+)') .. info:match('master_replid:(%x+)')
local m = redis.call('HMGET', KEYS[1], 'run', 'turn')
if m[1] ~= run then return {'CLOSED', 0} end
return {'OK', tonumber(m[2])}
