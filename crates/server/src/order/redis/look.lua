-- What there is: which Redis, whether the log is open for it, in which generation, the last turn that is there, and the last
-- one that a hub has said to have while it was lacking there.
-- KEYS log, meta, told
local info = redis.call('INFO', 'server', 'replication')
local run = info:match('run_id:(%x+)') .. info:match('master_replid:(%x+)')
local m = redis.call('HMGET', KEYS[2], 'run', 'gen')
local last, turn = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1), 0
if #last > 0 then turn = tonumber(last[1][1]:match('%-(%d+)$')) end
return {run, m[1] == run and 1 or 0, tonumber(m[2] or 0), turn, tonumber(redis.call('GET', KEYS[3]) or 0) or 0}
