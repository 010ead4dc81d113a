-- Puts back what no hub can have written beside the log.
-- KEYS meta   ARGV for each: its name, what is there, what belongs there
for i = 1, #ARGV, 3 do
  if redis.call('HGET', KEYS[1], ARGV[i]) == ARGV[i + 1] then redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 2]) end
end
return redis.status_reply('OK')
