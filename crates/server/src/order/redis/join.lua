-- Lets a hub write from now on, and no earlier life of it.
-- KEYS meta, lease   ARGV hub, as node:life, id of the log, the number that it has used up, process
-- Answers a word, the generation and the last turn.
local info = redis.call('INFO', 'server', 'replication')
local run = info:match('run_id:(%x+)') .. info:match('master_replid:(%x+)')
local m = redis.call('HMGET', KEYS[1], 'run', 'turn', 'gen', 'id', 's:' .. ARGV[1])
if m[1] ~= run then return {'CLOSED', 0, 0} end
if m[4] ~= ARGV[2] then return {'FOREIGN', 0, 0} end
-- Who was away for long has lost its name to another process.
local held = redis.call('GET', KEYS[2])
if held and held:match('^(%x+):') ~= ARGV[4] then return {'HELD', 0, 0} end
local own = 's:' .. ARGV[1]:match('^(%d+):') .. ':'
for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
  if field:sub(1, #own) == own and field ~= 's:' .. ARGV[1] then redis.call('HDEL', KEYS[1], field) end
end
-- A number that was used up stays so, also in a log that lost it.
if not m[5] or tonumber(m[5]) < tonumber(ARGV[3]) then redis.call('HSET', KEYS[1], 's:' .. ARGV[1], ARGV[3]) end
return {'OK', tonumber(m[3]), tonumber(m[2])}
