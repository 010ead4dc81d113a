-- Removes what every hub has from the beginning of the log, as far as more is there than is to be kept.
-- KEYS log, meta   ARGV bytes to keep, bytes from which on only hubs with a lease count (0: a third of what Redis may
--                  use), where leases are, ms after which a hub that was not heard of does not count
-- Answers a word, the turn up to which all that count have everything, and the turns and bytes that are there now.
local info = redis.call('INFO', 'server', 'replication')
local run = info:match('run_id:(%x+)') .. info:match('master_replid:(%x+)')
local fields, meta = redis.call('HGETALL', KEYS[2]), {}
for i = 1, #fields, 2 do meta[fields[i]] = fields[i + 1] end
if meta['run'] ~= run then return {'CLOSED', 0, 0, 0} end
local time = redis.call('TIME')
local now, last = time[1] * 1000 + math.floor(time[2] / 1000), tonumber(meta['turn'])
local all, living = last, last
for field, value in pairs(meta) do
  local node = field:match('^d:(%d+)$')
  if node then
    -- What is on its disk, where it has said that: a power cut may take the rest.
    local turn, at, synced = value:match('^(%d+) (%d+) ?(%d*)$')
    if turn then -- No hub has written anything else.
      if synced ~= '' then turn = synced end
      if now - tonumber(at) < tonumber(ARGV[4]) then all = math.min(all, tonumber(turn)) end
      if redis.call('EXISTS', ARGV[3] .. node) == 1 then living = math.min(living, tonumber(turn)) end
    end
  end
end
local length, size = redis.call('XLEN', KEYS[1]), redis.call('MEMORY', 'USAGE', KEYS[1]) or 0
local keep, most = tonumber(ARGV[1]), tonumber(ARGV[2])
if most == 0 then
  most = math.floor(tonumber(redis.call('INFO', 'memory'):match('maxmemory:(%d+)')) / 3)
  if most > 0 then keep = math.min(keep, most) end
end
local needed = all
if most > 0 and size > most then needed = living end
if size > keep and length > 0 then
  local first = last - length + 1
  local upto = math.min(needed, first + math.floor(length * (size - keep) / size) - 1)
  -- Whole nodes of the stream alone: that is cheap, and never too much.
  -- The last one stays: a log without any is one that was lost.
  if upto == last then upto = last - 1 end
  if upto >= first then redis.call('XTRIM', KEYS[1], 'MAXLEN', '~', last - upto) end
end
return {'OK', needed, redis.call('XLEN', KEYS[1]), redis.call('MEMORY', 'USAGE', KEYS[1]) or 0}
