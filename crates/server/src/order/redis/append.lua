-- Puts a batch at the end of the log, once, unless something has come in between that forbids it.
-- KEYS log, meta   ARGV generation, at, hub, number, 1 if structure, time of the hub in ms, batch
local info = redis.call('INFO', 'server', 'replication')
local run = info:match('run_id:(%x+)') .. info:match('master_replid:(%x+)')
local m = redis.call('HMGET', KEYS[2], 'run', 'gen', 'turn', 's:' .. ARGV[3], 'hturn')
-- Restarted, promoted or emptied: what it has is compared with what the hubs have, first.
if m[1] ~= run then return {'CLOSED', 0} end
if m[2] ~= ARGV[1] then return {'GEN', tonumber(m[2])} end
-- Somebody has removed the stream: what it had comes from the copies of the hubs.
if tonumber(m[3]) > 0 and redis.call('XLEN', KEYS[1]) == 0 then
  redis.call('HDEL', KEYS[2], 'run')
  return {'CLOSED', 0}
end
-- The log is shorter than what this hub has applied.
if tonumber(m[3]) < tonumber(ARGV[2]) then return {'BACK', tonumber(m[3])} end
if not m[4] then return {'GONE', 0} end
local last, now = tonumber(m[4]), redis.call('TIME')
-- Said again; whether it went in or was refused, the log up to this turn says.
if last >= tonumber(ARGV[4]) then return {'HAD', tonumber(m[3])} end
local no = false
-- A wrong clock would fill the log with batches that do not count.
if math.abs(now[1] * 1000 - ARGV[6]) > 4000 then no = 'CLOCK' end
if ARGV[5] == '1' and tonumber(m[5]) > tonumber(ARGV[2]) then no = 'LATE' end
if no then
  -- The number is used up: a copy of this that comes late must not go in.
  redis.call('HSET', KEYS[2], 's:' .. ARGV[3], ARGV[4])
  return {no, tonumber(m[3])}
end
local turn = string.format('%d', m[3] + 1)
-- First: without memory, or with an id behind the last one, this fails, and nothing is half done.
redis.call('XADD', KEYS[1], m[2] .. '-' .. turn, 'b', ARGV[7], 't', now[1] * 1000 + math.floor(now[2] / 1000))
redis.call('HSET', KEYS[2], 'turn', turn, 's:' .. ARGV[3], ARGV[4], 'hturn', ARGV[5] == '1' and turn or m[5])
return {'OK', tonumber(turn)}
