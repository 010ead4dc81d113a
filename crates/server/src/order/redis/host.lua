-- Another hub answers to the name server from now on, while the one that did so does not run.
-- KEYS meta, lease of the one that did   ARGV name
if redis.call('HGET', KEYS[1], 'host') == ARGV[1] then return {'OK', 0} end
if redis.call('EXISTS', KEYS[2]) == 1 then return {'BUSY', 0} end
redis.call('HSET', KEYS[1], 'host', ARGV[1])
return {'OK', 0}
