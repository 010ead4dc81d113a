-- Takes back a password that did not turn out to be wrong.
-- KEYS name, and perhaps address   ARGV right: the name begins anew, or void
for i, key in ipairs(KEYS) do
  local wrong, last = (redis.call('GET', key) or ''):match('^(%d+):(%d+)$')
  if i == 1 and ARGV[1] == 'right' then
    redis.call('DEL', key)
  elseif wrong and tonumber(wrong) > 0 then
    redis.call('SET', key, string.format('%d:%s', wrong - 1, last), 'KEEPTTL')
  end
end
return redis.status_reply('OK')
