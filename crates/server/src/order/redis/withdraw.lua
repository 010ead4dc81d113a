-- Half of a transfer does not wait any more.   KEYS name   ARGV this half
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
return redis.status_reply('OK')
