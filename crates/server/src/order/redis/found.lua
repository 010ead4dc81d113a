-- Begins a log where there is none.
-- KEYS log, meta, told   ARGV id, version, identity, host, settings, what was there before (or nothing)
if redis.call('EXISTS', KEYS[1], KEYS[2]) > 0 then return {'HAD', 0} end
-- What was said of another log of this name.
redis.call('DEL', KEYS[3])
local info = redis.call('INFO', 'server', 'replication')
local run = info:match('run_id:(%x+)') .. info:match('master_replid:(%x+)')
redis.call('HSET', KEYS[2], 'id', ARGV[1], 'v', ARGV[2], 'identity', ARGV[3], 'host', ARGV[4], 'settings', ARGV[5],
  'run', run, 'gen', 1, 'turn', 0, 'hturn', 0)
if ARGV[6] ~= '' then redis.call('HSET', KEYS[2], 'base', ARGV[6]) end
return {'OK', 0}
