-- Which Redis this is, and which one the log is open for.   KEYS meta
local info = redis.call('INFO', 'server', 'replication')
local run = info:match('run_id:(%x+)') .. info:match('master_replid:(%x+)')
return {run, redis.call('HGET', KEYS[1], 'run')}
