-- The log is open for this Redis, in a new generation.
-- KEYS log, meta, opening, told   ARGV run, node, generation that begins, last turn, id of the log, version, what is kept of the
--                                opening: name, sealed, how many facts, the facts by name, then for each hub that lives:
--                                hub, number of its last batch
local info = redis.call('INFO', 'server', 'replication')
local run = info:match('run_id:(%x+)') .. info:match('master_replid:(%x+)')
if run ~= ARGV[1] then return {'OTHER', 0} end
local m = redis.call('HMGET', KEYS[2], 'run', 'gen', 'id', 'hturn')
if m[1] == run then return {'OPEN', tonumber(m[2])} end
if m[3] and m[3] ~= ARGV[5] then return {'FOREIGN', 0} end
if redis.call('HGET', KEYS[3], 'opener') ~= ARGV[2] then return {'PUT OUT', 0} end
local last, turn = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1), 0
if #last > 0 then turn = tonumber(last[1][1]:match('%-(%d+)$')) end
-- Of a generation that is no newer than that of Redis its readers would see nothing.
if turn ~= tonumber(ARGV[4]) or tonumber(m[2] or 0) >= tonumber(ARGV[3]) then return {'END', turn} end
local facts, time = tonumber(ARGV[9]), redis.call('TIME')
local now = string.format('%d', time[1] * 1000 + math.floor(time[2] / 1000))
for i = 10, 9 + 2 * facts, 2 do
  local value = ARGV[i + 1]
  -- A hub that was not heard of since then is waited for from now on.
  if ARGV[i]:match('^d:%d+$') then value = value:gsub('^(%d+) %d+', '%1 ' .. now) end
  redis.call('HSETNX', KEYS[2], ARGV[i], value)
end
for i = 10 + 2 * facts, #ARGV, 2 do
  -- A number that is used up stays so, whether its batch went in or was refused.
  local field = 's:' .. ARGV[i]
  local number = redis.call('HGET', KEYS[2], field)
  if not number or tonumber(number) < tonumber(ARGV[i + 1]) then redis.call('HSET', KEYS[2], field, ARGV[i + 1]) end
end
-- Who has decided about structure before this decides again, where it is not known that nothing came in between.
redis.call('HSET', KEYS[2], 'id', ARGV[5], 'v', ARGV[6], 'turn', string.format('%d', turn), 'gen', ARGV[3], 'run', run,
  'hturn', m[4] or string.format('%d', turn), ARGV[7], ARGV[8])
-- A hub that was away for longer than the last 256 openings is told by the chains of others.
local generations = {}
for _, field in ipairs(redis.call('HKEYS', KEYS[2])) do
  local generation = field:match('^o:(%d+)$')
  if generation then generations[#generations + 1] = tonumber(generation) end
end
table.sort(generations)
for i = 1, #generations - 256 do redis.call('HDEL', KEYS[2], string.format('o:%d', generations[i])) end
-- What was said was said of the log as it was, and the word of a person was for this opening.
redis.call('DEL', KEYS[3], KEYS[4])
return {'OK', tonumber(ARGV[3])}
