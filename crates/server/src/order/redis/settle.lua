-- The log is open for this Redis, in a new generation.
-- KEYS log, meta, opening   ARGV run, node, generation, last turn, id of the log, version, how many facts,
--                                the facts by name, then for each hub that lives: hub, number of its last batch
local info = redis.call('INFO', 'server', 'replication')
local run = info:match('run_id:(%x+)') .. info:match('master_replid:(%x+)')
if run ~= ARGV[1] then return {'OTHER', 0} end
local m = redis.call('HMGET', KEYS[2], 'run', 'gen', 'id', 'hturn')
if m[1] == run then return {'OPEN', tonumber(m[2])} end
if m[3] and m[3] ~= ARGV[5] then return {'FOREIGN', 0} end
if redis.call('HGET', KEYS[3], 'opener') ~= ARGV[2] then return {'PUT OUT', 0} end
local last, turn = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1), 0
if #last > 0 then turn = tonumber(last[1][1]:match('%-(%d+)$')) end
if turn ~= tonumber(ARGV[4]) then return {'END', turn} end
local facts = tonumber(ARGV[7])
for i = 8, 7 + 2 * facts, 2 do
  redis.call('HSETNX', KEYS[2], ARGV[i], ARGV[i + 1])
end
for i = 8 + 2 * facts, #ARGV, 2 do
  -- A number that is used up stays so, whether its batch went in or was refused.
  local field = 's:' .. ARGV[i]
  local number = redis.call('HGET', KEYS[2], field)
  if not number or tonumber(number) < tonumber(ARGV[i + 1]) then redis.call('HSET', KEYS[2], field, ARGV[i + 1]) end
end
local gen = math.max(tonumber(m[2] or 0), tonumber(ARGV[3])) + 1
-- Who has decided about structure before this decides again, where it is not known that nothing came in between.
redis.call('HSET', KEYS[2], 'id', ARGV[5], 'v', ARGV[6], 'turn', string.format('%d', turn), 'gen', gen, 'run', run,
  'hturn', m[4] or string.format('%d', turn), 'o:' .. gen, string.format('%d', turn))
-- A hub that was away for longer is told by the chains of others.
redis.call('HDEL', KEYS[2], 'o:' .. (gen - 256))
return {'OK', gen}
