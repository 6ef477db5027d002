return {1, 2.9, -2.9, 'x', true, false, nil, 5}
---
return {KEYS[1], KEYS[2], ARGV[1], ARGV[2], #KEYS, #ARGV}
---
return redis.call('set', KEYS[1], ARGV[1])
---
return redis.call('get', KEYS[1])
---
return redis.call('get', 'none')
---
return {redis.call('get', 'none'), 1}
---
return redis.call('lrange', 'none', 0, -1)
---
return redis.call('rpush', 'l', 1, 2, 3) + redis.call('llen', 'l')
---
return redis.call('lrange', 'l', 0, -1)
---
return redis.call('hset', 'h', 'a', 1, 'b', 2.5)
---
return redis.call('hgetall', 'h')
---
return redis.call('zadd', 'z', 1, 'a', 2.5, 'b')
---
return redis.call('zrange', 'z', 0, -1, 'withscores')
---
return redis.call('zscore', 'z', 'b')
---
return redis.call('incr', KEYS[1])
---
return redis.pcall('incr', KEYS[1])
---
local ok, e = pcall(redis.call, 'incr', KEYS[1]) return {tostring(ok), type(e), e}
---
return redis.pcall('incr', KEYS[1]).err
---
return redis.call('nosuch')
---
return redis.call('get')
---
return redis.call('get', 'a', 'b')
---
return redis.call()
---
return redis.call(nil)
---
return redis.call('get', {})
---
return redis.call('subscribe', 'x')
---
return redis.call('multi')
---
return redis.call('eval', 'return 1', 0)
---
return redis.call('client', 'id')
---
return redis.call('ping')
---
return redis.call('echo', 'hello')
---
return redis.call('type', 'l')
---
return redis.status_reply('FINE')
---
return redis.status_reply()
---
return redis.error_reply('CODE text')
---
return redis.error_reply('text')
---
return redis.error_reply()
---
return {ok = 'a\r\nb'}
---
return {err = 'ERR x'}
---
return {double = 3.0}
---
return {map = {a = 1}}
---
return {set = {a = true}}
---
return {big_number = '123456789012345678901234567890'}
---
return {verbatim_string = {format = 'txt', string = 'some text'}}
---
redis.setresp(3) return redis.call('hgetall', 'h')
---
redis.setresp(3) return redis.call('get', 'none')
---
redis.setresp(3) return redis.call('zscore', 'z', 'b')
---
redis.setresp(3) return redis.call('smembers', 'none')
---
redis.setresp(3) return true
---
redis.setresp(3) return {true, false}
---
redis.setresp(3) return redis.call('zrange', 'z', 0, -1, 'withscores')
---
redis.setresp(4)
---
redis.setresp()
---
redis.log()
---
redis.log(redis.LOG_NOTICE)
---
redis.log('x', 'y')
---
redis.log(10, 'y')
---
redis.set_repl(redis.REPL_ALL) return 1
---
redis.set_repl(17)
---
redis.set_repl()
---
return redis.replicate_commands()
---
return redis.breakpoint()
---
return redis.sha1hex('hello')
---
return redis.sha1hex()
---
return redis.sha1hex(12)
---
return {redis.acl_check_cmd('set', 'a', 'b'), redis.acl_check_cmd('get', 'a')}
---
return redis.acl_check_cmd('nosuch')
---
return redis.acl_check_cmd()
---
return {redis.LOG_DEBUG, redis.LOG_VERBOSE, redis.LOG_NOTICE, redis.LOG_WARNING, redis.REPL_ALL, redis.REPL_AOF, redis.REPL_SLAVE, redis.REPL_REPLICA, redis.REPL_NONE}
---
error('x')
---
error('x', 0)
---
error('x', 2)
---
error({err = 'My error'})
---
error({err = 'My error', extra = 1})
---
error(nil)
---
error(12)
---
error(true)
---
local a = nil return a.b
---
local a = {} return a.b.c
---
return 1 + {}
---
return 'a' .. {}
---
return #5
---
return {} < {}
---
return 1 < 'x'
---
return nil()
---
x = 1
---
return x
---
return print
---
string.x = 1
---
rawset(_G, 'x', 1)
---
setmetatable(_G, {})
---
KEYS = {}
---
KEYS[3] = 'x' return KEYS[3]
---
table.insert(redis, 1)
---
redis.call = 1
---
return getmetatable(redis) == nil
---
return type(getmetatable(_G).__index)
---
return {pcall(error)}
---
return {tostring(pcall(error, 'x'))}
---
return {pcall(error, {err = 'E'})}
---
return select('#', pcall(function() return 1, nil, 3 end))
---
return {xpcall(function() error('x') end, function(e) return e .. '!' end)}
---
return {assert(1, 2)}
---
return assert(false, 'text')
---
return assert(nil)
---
return loadstring('return 1 + 1')()
---
return {loadstring('x x')}
---
return tostring(nil) .. tostring(true) .. tostring(1.5) .. tostring(1e100) .. tostring(10 / 2)
---
return {tonumber('0x10'), tonumber('1e1'), tonumber('x') == nil, tonumber('z', 36), tonumber(' 5 ')}
---
return tostring(2 ^ 53) .. ' ' .. 2 ^ 0.5 .. ' ' .. 7 % -3 .. ' ' .. -7 % 3
---
return 1e15 .. ' ' .. 1e14 .. ' ' .. 123456789012345678 .. ' ' .. 0.1 .. ' ' .. -0.0
---
return 1e20
---
return 0/0
---
return 2^63
---
math.randomseed(42) return math.random() .. ' ' .. math.random(1000)
---
return math.random(0)
---
return math.random(1, 2, 3)
---
return {math.floor(-1.5), math.ceil(1.2), math.abs(-3), math.max(1, 5, 2), math.min(4, 2), math.fmod(7, 3), math.modf(3.7)}
---
return string.format('%5d|%-5s|%05.1f|%x|%q|%c|%g|%i', 42, 'ab', 3.14159, 255, 'a"b\n', 65, 1e20, 7)
---
return string.format('%d', 'x')
---
return string.format('%y', 1)
---
return {('hello'):byte(1, -1)}
---
return {('hello'):find('l'), ('hello'):find('l', 1, true), ('hello'):find('x'), ('a.b'):find('.', 1, true)}
---
return {('key = value'):match('^(%w+)%s*=%s*(%w+)$')}
---
return {('abc'):gsub('%w', '%0%0'), ('abc'):gsub('b', {b = 'X'}), ('abc'):gsub('.', string.upper, 2)}
---
return {('THE (quick) fox'):find('%((%a+)%)'), ('a,b,,c'):gsub(',', ';')}
---
return ('x'):rep(3) .. ('x'):rep(0) .. ('x'):rep(-1) .. ('ab'):reverse() .. ('Ab'):upper() .. ('Ab'):lower() .. #('abc')
---
return ('%bxy'):match('%bxy') or 'none'
---
return ('f(a(b)c)d'):match('%b()')
---
return ('THE (quick) fox'):gsub('%f[%a]%a+', 'w')
---
return ('abc'):gsub('%', 'x')
---
return ('abc'):find('[a')
---
return ('abc'):find('%')
---
return ('abc'):match('(')
---
local t = {5, 2, 8, 1} table.sort(t) return t
---
local t = {5, 2, 8, 1} table.sort(t, function(a, b) return a > b end) return t
---
local t = {1, 2, 3} table.insert(t, 4) table.insert(t, 1, 0) return {table.remove(t), table.remove(t, 1), table.concat(t, '-'), #t}
---
return table.concat({1, {}, 3})
---
return table.concat({1, 2, 3}, ',', 2, 3)
---
return {unpack({1, 2, 3}, 2)}
---
return {select(2, 'a', 'b', 'c'), select('#', 1, nil)}
---
return {next({}), next({10}), type(next), rawequal('a', 'a'), rawget({7}, 1)}
---
local c = coroutine.create(function(a) local b = coroutine.yield(a + 1) return b * 2 end) return {select(2, coroutine.resume(c, 1)), select(2, coroutine.resume(c, 5)), coroutine.status(c)}
---
local r = {} for k, v in pairs({a = 1, b = 2, c = 3, 10, 20}) do r[#r + 1] = k .. '=' .. v end return r
---
local t = {} for i = 1, 100 do t['key' .. i] = i end local r = {} for k, v in pairs(t) do r[#r + 1] = k end return r
---
return cjson.encode({1, 2, {a = 1.5}, cjson.null, true, 'x'})
---
return cjson.encode({})
---
return cjson.encode({a = {}, b = {1}, c = 'd/e"f\\g'})
---
local t = {} for i = 1, 30 do t['key' .. i] = i end return cjson.encode(t)
---
return cjson.encode({[1] = 1, [2] = 2, [4] = 4})
---
return cjson.encode({[1] = 1, [100] = 2})
---
cjson.encode_sparse_array(true) local r = cjson.encode({[1] = 1, [100] = 2}) cjson.encode_sparse_array(false) return r
---
return cjson.encode('\0\1\31\127\128\255')
---
return cjson.encode({0.1, 1e15, 1e14, 123456789012345678, -0.5, 100, 1/3})
---
return cjson.encode(0/0)
---
return cjson.encode(function() end)
---
return cjson.encode({[{}] = 1})
---
return cjson.encode()
---
return cjson.encode(1, 2)
---
local t = {} for i = 1, 1100 do t = {t} end return cjson.encode(t)
---
local t = cjson.decode('{"a":[1,2,{"b":null}],"c":"\\u00e9\\n","d":true,"e":1.5e3}') return {t.a[3].b == cjson.null, t.c, t.d, t.e}
---
return cjson.decode('[1,2')
---
return cjson.decode('[1,]')
---
return cjson.decode('{"a" 1}')
---
return cjson.decode('{a:1}')
---
return cjson.decode('{"a":1,}')
---
return cjson.decode('')
---
return cjson.decode('nul')
---
return cjson.decode('"abc')
---
return cjson.decode('"\\x"')
---
return cjson.decode('"\\u12"')
---
return cjson.decode('"\\ud800"')
---
return cjson.decode('"\\ud83d\\ude00"')
---
return cjson.decode('[1] 2')
---
return cjson.decode('0x10') .. cjson.decode('012') .. cjson.decode('-1.5e2')
---
return tostring(cjson.decode('1e400')) .. tostring(cjson.decode('nan') ~= cjson.decode('nan'))
---
return cjson.decode('+1')
---
return cjson.decode('*')
---
return cjson.decode('tRue')
---
return cjson.decode(nil)
---
return cjson.decode(('['):rep(1001) .. (']'):rep(1001))
---
return #cjson.decode(('['):rep(1000) .. (']'):rep(1000))
---
return {cjson.decode_max_depth(), cjson.encode_max_depth(), cjson.encode_number_precision(), cjson.encode_sparse_array()}
---
return cjson.encode_max_depth(0)
---
return cjson.encode_number_precision(17)
---
return cjson._VERSION .. cjson._NAME
---
return type(cjson.null) .. tostring(cjson.null == nil)
---
return cmsgpack.pack(1, -1, 127, 128, 255, 256, 65535, 65536, 2^32, -32, -33, -128, -129, -32769, -2^40)
---
return cmsgpack.pack(1.5, 0.1, true, false, nil, 'abc', ('x'):rep(32), ('x'):rep(300))
---
return cmsgpack.pack({1, 2, 3}, {a = 1}, {}, {[1] = 1, [3] = 3}, {[0] = 1}, {[1.5] = 1})
---
local t = {} for i = 1, 20 do t = {t} end return cmsgpack.pack(t)
---
local t = {} for i = 1, 20 do t[i] = i end return cmsgpack.pack(t)
---
return cmsgpack.pack()
---
local t = cmsgpack.unpack(cmsgpack.pack({a = {1, 2, {b = 'c'}}, d = false})) return {t.a[3].b, tostring(t.d)}
---
return {cmsgpack.unpack(cmsgpack.pack(1, 'two', 3))}
---
return {cmsgpack.unpack_one(cmsgpack.pack(1, 2))}
---
return {cmsgpack.unpack_one(cmsgpack.pack(1, 2), 1)}
---
return {cmsgpack.unpack_limit(cmsgpack.pack(1, 2, 3), 2)}
---
return cmsgpack.unpack('\147\1')
---
return cmsgpack.unpack('\193')
---
return {cmsgpack.unpack('')}
---
return cmsgpack.unpack(1)
---
return cmsgpack._NAME .. cmsgpack._VERSION .. cmsgpack._COPYRIGHT .. cmsgpack._DESCRIPTION
---
return {struct.unpack('>I2 <i4 b', struct.pack('>I2 <i4 b', 258, -2, -1))}
---
return struct.pack('>hHlLbBf', 1, 2, 3, 4, 5, 6, 1.5)
---
return struct.pack('!8 b d', 1, 2.5)
---
return struct.size('!4 b i4 d x')
---
return {struct.unpack('s c3 I1', struct.pack('s c3 I1', 'ab', 'cdef', 7))}
---
return {struct.unpack('>I1 c0', struct.pack('>I1 c0', 3, 'xyz'))}
---
return struct.unpack('I4', 'abc')
---
return struct.pack('q', 1)
---
return struct.pack('i33', 1)
---
return struct.pack('!3', 1)
---
return struct.pack('c4', 'abc')
---
return struct.unpack('s', 'abc')
---
return struct.unpack('c0', 'abc')
---
return struct.size('s')
---
return struct.pack('i', -1) .. struct.pack('I', 4294967295) .. struct.pack('l', -2)
---
return {bit.band(0xff, 0x0f), bit.bor(1, 2, 4), bit.bxor(5, 3), bit.bnot(0)}
---
return {bit.lshift(1, 31), bit.rshift(-1, 28), bit.arshift(-256, 4), bit.lshift(1, 33)}
---
return {bit.tobit(0xffffffff), bit.tobit(2^32 + 1), bit.rol(0x12345678, 8), bit.ror(1, 1), bit.bswap(1), bit.tobit(1.5), bit.tobit(-1.5)}
---
return bit.tohex(255) .. bit.tohex(-1, 4) .. bit.tohex(0xabcdef, -6)
---
return bit.band()
---
return bit.band('x')
---
#!lua flags=no-writes
return redis.call('set', 'a', 'b')
---
#!lua flags=bad
return 1
---
#!lua
return 1
---
#!lua name=x
return 1
---
#!python
return 1
---
syntax error
---
if
---
return 'unfinished
---
for i = 1, 2 do
---
goto x
---
local t = setmetatable({}, {__index = function(t, k) return k .. '!' end}) return t.x
---
local t = setmetatable({}, {__tostring = function() return 'T' end}) return tostring(t)
---
return redis.call('set', 'f', 1.5) and redis.call('get', 'f')
---
redis.call('set', 'f', 0.1) return redis.call('get', 'f')
---
redis.call('set', 'f', 1e21) return redis.call('get', 'f')
---
redis.call('set', 'f', 3) return redis.call('get', 'f')
---
redis.call('select', 1) redis.call('set', 'far', 'x') return redis.call('get', 'far')
---
return redis.call('get', 'far')
---
redis.call('select', 99)
---
return redis.call('set', 'a', 'b', 'nosuch')
---
return redis.call('object', 'nosuch', 'l')
---
return redis.call('script', 'flush')
---
return redis.call('monitor')
---
return redis.call('hello', 3)
---
local r = {} for i, v in ipairs(redis.call('mget', 'k1', 'none', 'f')) do r[i] = tostring(v) end return r
---
return redis.call('GETDEL', KEYS[1])
