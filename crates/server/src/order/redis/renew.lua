-- Says that a hub lives and how far it is, and looks who does not.
-- KEYS lease, meta, log   ARGV process, life, time in ms, where leases are, node, the last turn that it has applied, how
-- much of that time a hub in time has left, the last turn that is on its disk
-- Answers a word, the time of Redis in ms, the hubs that may write and whose lease has ended, those that are late, and
-- which hub answers to the name server, where that is known.
local info = redis.call('INFO', 'server', 'replication')
local run = info:match('run_id:(%x+)') .. info:match('master_replid:(%x+)')
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local held = redis.call('GET', KEYS[1])
if held and held:match('^(%x+):') ~= ARGV[1] then return {'OTHER', now, {}, {}, ''} end
local mine = ARGV[1] .. ':' .. ARGV[2]
-- What needs no memory goes on also where there is none.
if held == mine then redis.call('PEXPIRE', KEYS[1], ARGV[3]) else redis.call('SET', KEYS[1], mine, 'PX', ARGV[3]) end
if redis.call('HGET', KEYS[2], 'run') ~= run then return {'CLOSED', now, {}, {}, ''} end
if tonumber(redis.call('HGET', KEYS[2], 'turn')) > 0 and redis.call('XLEN', KEYS[3]) == 0 then
  -- Somebody has removed the stream: what it had comes from the copies of the hubs.
  redis.call('HDEL', KEYS[2], 'run')
  return {'CLOSED', now, {}, {}, ''}
end
redis.pcall('HSET', KEYS[2], 'd:' .. ARGV[5], ARGV[6] .. ' ' .. string.format('%d', now) .. ' ' .. ARGV[8])
local missing, late = {}, {}
for _, field in ipairs(redis.call('HKEYS', KEYS[2])) do
  local node, life = field:match('^s:(%d+):(%x+)$')
  if node then
    local lease = redis.call('GET', ARGV[4] .. node)
    if not lease or lease:match(':(%x+)$') ~= life then
      missing[#missing + 1] = node .. ':' .. life
    elseif redis.call('PTTL', ARGV[4] .. node) < tonumber(ARGV[7]) then
      late[#late + 1] = node .. ':' .. life
    end
  end
end
return {'OK', now, missing, late, redis.call('HGET', KEYS[2], 'host') or ''}
