-- Counts a password as wrong, for what it counts against; or says which of these has to wait, and how long. The attempt is
-- under way until it is settled. One that nobody settles in time ended in a way that nobody knows, and counts no more.
-- KEYS for each thing that it counts against: its count, and the list of all counts of this kind
-- ARGV the attempt, memory in ms, how long one is under way at most in ms, first pause in ms, and for each thing: how many
-- are free, the longest pause in ms, how many counts of this kind there are at most
-- A count has how many were `wrong`, when the `last` one began, and when each began that is under way.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function look(key)
  local wrong, last = 0, 0
  local fields = redis.call('HGETALL', key)
  for i = 1, #fields, 2 do
    local name, value = fields[i], tonumber(fields[i + 1])
    if name == 'wrong' then
      wrong = wrong + value
    elseif name == 'last' then
      last = math.max(last, value)
    elseif value + tonumber(ARGV[3]) <= now then
      redis.call('HDEL', key, name)
    else
      wrong, last = wrong + 1, math.max(last, value)
    end
  end
  return wrong, last
end
for i = 1, #KEYS / 2 do
  local wrong, last = look(KEYS[2 * i - 1])
  local beyond = wrong - tonumber(ARGV[2 + 3 * i])
  if beyond >= 0 then
    local pause = math.min(tonumber(ARGV[4]) * 2 ^ math.min(beyond, 30), tonumber(ARGV[3 + 3 * i]))
    local left = last + pause - now
    if left > 0 then return {i, math.ceil(left)} end
  end
end
local began = string.format('%d', now)
for i = 1, #KEYS / 2 do
  local key, all = KEYS[2 * i - 1], KEYS[2 * i]
  redis.call('HSET', key, ARGV[1], began)
  redis.call('PEXPIRE', key, ARGV[2])
  redis.call('ZADD', all, began, key)
  redis.call('PEXPIRE', all, ARGV[2])
  -- Those that are forgotten by now, and the oldest of too many.
  redis.call('ZREMRANGEBYSCORE', all, '-inf', string.format('%d', now - tonumber(ARGV[2])))
  while redis.call('ZCARD', all) > tonumber(ARGV[4 + 3 * i]) do
    redis.call('DEL', redis.call('ZPOPMIN', all)[1])
  end
end
return {0, 0}
