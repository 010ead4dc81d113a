-- A hub says how far it is, and when. Who is further than the opener puts it out, but for those that it goes on without.
-- KEYS meta, opening, log, told   ARGV run, node, turn, all of it sealed, seconds that it is kept
local info = redis.call('INFO', 'server', 'replication')
local run = info:match('run_id:(%x+)') .. info:match('master_replid:(%x+)')
if run ~= ARGV[1] then return {'OTHER', 0} end
local m = redis.call('HMGET', KEYS[1], 'run', 'gen')
if m[1] == run then return {'OPEN', tonumber(m[2])} end
local last, turn = redis.call('XREVRANGE', KEYS[3], '+', '-', 'COUNT', 1), 0
if #last > 0 then turn = tonumber(last[1][1]:match('%-(%d+)$')) end
-- What was said goes when Redis starts again, and what is lacking stays so: this much stays with it until the log is open.
local said, told = tonumber(ARGV[3]), tonumber(redis.call('GET', KEYS[4]) or 0) or 0
if said > turn and said > told then redis.call('SET', KEYS[4], ARGV[3]) end
redis.call('HSET', KEYS[2], 'n:' .. ARGV[2], ARGV[3] .. ' ' .. redis.call('TIME')[1] .. ' ' .. ARGV[4])
-- A word of a person is kept for longer.
if redis.call('TTL', KEYS[2]) < tonumber(ARGV[5]) then redis.call('EXPIRE', KEYS[2], ARGV[5]) end
local opener, left_out = unpack(redis.call('HMGET', KEYS[2], 'opener', 'without'))
-- Who does not take the word of a person says so again and again, and nobody could go on.
if opener and not (left_out and left_out:find(' ' .. ARGV[2] .. ' ', 1, true)) then
  local said = redis.call('HGET', KEYS[2], 'n:' .. opener)
  if not said or tonumber(said:match('^%d+')) < tonumber(ARGV[3]) then redis.call('HDEL', KEYS[2], 'opener') end
end
return {'OK', 0}
