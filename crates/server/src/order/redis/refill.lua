-- The opener adds batches that Redis lacks, behind the last one that is there.
-- KEYS log, meta, opening   ARGV run, node, the newest generation that the opener knows, last turn before them,
--                                id of the log, version, how many facts, the facts by name, then for each batch: 1 if
--                                structure, time in ms, bytes
local info = redis.call('INFO', 'server', 'replication')
local run = info:match('run_id:(%x+)') .. info:match('master_replid:(%x+)')
if run ~= ARGV[1] then return {'OTHER', 0} end
local m = redis.call('HMGET', KEYS[2], 'run', 'gen', 'id')
if m[1] == run then return {'OPEN', tonumber(m[2])} end
if m[3] and m[3] ~= ARGV[5] then return {'FOREIGN', 0} end
if redis.call('HGET', KEYS[3], 'opener') ~= ARGV[2] then return {'PUT OUT', 0} end
local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)
local gen, turn = tonumber(ARGV[3]), 0
if #last > 0 then
  local last_gen, last_turn = last[1][1]:match('^(%d+)%-(%d+)$')
  gen, turn = math.max(gen, tonumber(last_gen)), tonumber(last_turn)
  if turn > tonumber(ARGV[4]) then return {'END', turn} end
  -- What is older than the copies of the hubs go back cannot be joined with them, and every hub has it.
  if turn < tonumber(ARGV[4]) then redis.call('DEL', KEYS[1]) end
end
-- An empty stream begins wherever the copies of the hubs do.
turn = tonumber(ARGV[4])
local facts, structure, time = tonumber(ARGV[7]), nil, redis.call('TIME')
local now = string.format('%d', time[1] * 1000 + math.floor(time[2] / 1000))
-- Whoever reads what is added has to know which openings led there.
for i = 8, 7 + 2 * facts, 2 do
  local value = ARGV[i + 1]
  -- A hub that was not heard of since then is waited for from now on.
  if ARGV[i]:match('^d:%d+$') then value = value:gsub('^(%d+) %d+', '%1 ' .. now) end
  redis.call('HSETNX', KEYS[2], ARGV[i], value)
end
if tonumber(m[2] or 0) < tonumber(ARGV[3]) then redis.call('HSET', KEYS[2], 'gen', ARGV[3]) end
for i = 8 + 2 * facts, #ARGV, 3 do
  turn = turn + 1
  -- First, as in an append. What went in before one that fails is there, and the next attempt is told so.
  redis.call('XADD', KEYS[1], string.format('%d-%d', gen, turn), 'b', ARGV[i + 2], 't', ARGV[i + 1])
  if ARGV[i] == '1' then structure = turn end
end
redis.call('HSET', KEYS[2], 'id', ARGV[5], 'v', ARGV[6], 'turn', string.format('%d', turn))
if structure then redis.call('HSET', KEYS[2], 'hturn', string.format('%d', structure)) end
redis.call('HSET', KEYS[3], 'at', now)
return {'OK', turn}
