-- A hub becomes the opener: the furthest of those that have said something, unless another that is as far is at it.
-- KEYS meta, opening   ARGV run, node, patience with the other in ms, and those that a person goes on without
local info = redis.call('INFO', 'server', 'replication')
local run = info:match('run_id:(%x+)') .. info:match('master_replid:(%x+)')
if run ~= ARGV[1] then return {'OTHER', 0} end
local m = redis.call('HMGET', KEYS[1], 'run', 'gen')
if m[1] == run then return {'OPEN', tonumber(m[2])} end
local left_out, without = {}, ' '
for i = 4, #ARGV do
  left_out[ARGV[i]] = true
  without = without .. ARGV[i] .. ' '
end
local said = redis.call('HGETALL', KEYS[2])
local turns, opener, at = {}, nil, 0
for i = 1, #said, 2 do
  local node = said[i]:match('^n:(%d+)$')
  if node and not left_out[node] then turns[node] = tonumber(said[i + 1]:match('^%d+')) end
  if said[i] == 'opener' and not left_out[said[i + 1]] then opener = said[i + 1] end
  if said[i] == 'at' then at = tonumber(said[i + 1]) end
end
local own = turns[ARGV[2]]
if not own then return {'SAY', 0} end
for node, turn in pairs(turns) do
  if turn > own then return {'BEHIND', tonumber(node)} end
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if opener and opener ~= ARGV[2] and now - at < tonumber(ARGV[3]) then return {'TAKEN', tonumber(opener)} end
redis.call('HSET', KEYS[2], 'opener', ARGV[2], 'at', now, 'without', without)
return {'OK', 0}
