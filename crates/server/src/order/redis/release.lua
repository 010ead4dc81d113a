-- Gives the name of a hub back.   KEYS lease   ARGV process
local held = redis.call('GET', KEYS[1])
if held and held:match('^(%x+):') == ARGV[1] then redis.call('DEL', KEYS[1]) end
