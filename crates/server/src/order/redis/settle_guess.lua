-- Says how an attempt has ended, once. What is said of one that was not counted takes nothing back.
-- KEYS for each thing that it counts against: its count, and the list of all counts of this kind; the name is the last one
-- ARGV the attempt, how it ended (right: the name begins anew; wrong; or void), memory in ms
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for i = 1, #KEYS, 2 do
  local key, all = KEYS[i], KEYS[i + 1]
  local began = redis.call('HGET', key, ARGV[1])
  redis.call('HDEL', key, ARGV[1])
  if ARGV[2] == 'wrong' then
    local last = math.max(tonumber(redis.call('HGET', key, 'last') or 0), tonumber(began or now))
    redis.call('HINCRBY', key, 'wrong', 1)
    redis.call('HSET', key, 'last', string.format('%d', last))
    redis.call('PEXPIRE', key, ARGV[3])
    redis.call('ZADD', all, string.format('%d', last), key)
    redis.call('PEXPIRE', all, ARGV[3])
  elseif ARGV[2] == 'right' and i + 1 == #KEYS then
    redis.call('DEL', key)
  end
  if redis.call('EXISTS', key) == 0 then redis.call('ZREM', all, key) end
end
return redis.status_reply('OK')
