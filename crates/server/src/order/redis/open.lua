-- Opens a log that lacks nothing for the Redis that has it now.   KEYS log, meta   ARGV run before, turn that is needed
local info = redis.call('INFO', 'server', 'replication')
local run = info:match('run_id:(%x+)') .. info:match('master_replid:(%x+)')
local m = redis.call('HMGET', KEYS[2], 'run', 'turn', 'gen')
if not m[1] then return {'NONE', 0} end
if m[1] == run then return {'OK', tonumber(m[3])} end
if m[1] ~= ARGV[1] then return {'OTHER', 0} end
if tonumber(m[2]) < tonumber(ARGV[2]) then return {'BACK', tonumber(m[2])} end
-- The stream and what is said of it are written by one script, and are lost or kept by one.
local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)
if #last > 0 and last[1][1]:match('%-(%d+)$') ~= m[2] then return {'BACK', tonumber(last[1][1]:match('%-(%d+)$'))} end
local gen = redis.call('HINCRBY', KEYS[2], 'gen', 1)
redis.call('HSET', KEYS[2], 'run', run)
return {'OK', gen}
