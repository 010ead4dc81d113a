-- Counts a password as wrong, for what it counts against; or says which of these has to wait, and how long.
-- KEYS one or two   ARGV memory in ms, first pause in ms, and for each key: how many are free, the longest pause in ms
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local counts = {}
for i, key in ipairs(KEYS) do
  local wrong, last = (redis.call('GET', key) or ''):match('^(%d+):(%d+)$')
  counts[i] = tonumber(wrong or 0)
  local beyond = counts[i] - tonumber(ARGV[1 + 2 * i])
  if beyond >= 0 then
    local pause = math.min(tonumber(ARGV[2]) * 2 ^ math.min(beyond, 30), tonumber(ARGV[2 + 2 * i]))
    local left = tonumber(last or 0) + pause - now
    if left > 0 then return {i, math.ceil(left)} end
  end
end
for i, key in ipairs(KEYS) do
  redis.call('SET', key, string.format('%d:%d', counts[i] + 1, now), 'PX', ARGV[1])
end
return {0, 0}
