# Fields are set, read and deleted; the last one takes the key along.
HSET h f1 v1 f2 v2 => :2
HSET h f1 new f3 v3 => :1
HGET h f1 => new
HGET h none => nil
HGET none f => nil
HMGET h f1 none f3 => [new nil v3]
HGETALL h => [f1 new f2 v2 f3 v3]
HKEYS h => [f1 f2 f3]
HVALS h => [new v2 v3]
HLEN h => :3
HSTRLEN h f1 => :3
HSTRLEN h none => :0
HEXISTS h f1 => :1
HEXISTS h none => :0
HSETNX h f1 x => :0
HSETNX h f4 x => :1
HMSET h f5 y => +OK
HDEL h f1 f2 none => :2
HDEL h f3 f4 f5 => :3
EXISTS h => :0
HGETALL h => []
HSET h f => -ERR wrong number of arguments for 'hset' command
HSET h f v g => -ERR wrong number of arguments for 'hset' command
HMGET none a b => [nil nil]

# Fields count.
HINCRBY n f 5 => :5
HINCRBY n f -7 => :-2
HINCRBYFLOAT n f 0.5 => '-1.5'
HINCRBY n f 1 => -ERR hash value is not an integer
HSET n word abc => :1
HINCRBYFLOAT n word 1 => -ERR hash value is not a float
HSET n big 9223372036854775807 => :1
HINCRBY n big 1 => -ERR increment or decrement would overflow
HINCRBY n f x => -ERR value is not an integer or out of range

# Random fields.
HSET r a 1 => :1
HRANDFIELD r => a
HRANDFIELD r -3 => [a a a]
HRANDFIELD r 3 => [a]
HRANDFIELD r 1 WITHVALUES => [a 1]
HRANDFIELD r 0 => []
HRANDFIELD none => nil
HRANDFIELD none 2 => []

# A small hash scans in one go.
HSCAN r 0 => [0 [a 1]]
HSCAN none 0 => [0 []]
HSCAN r x => -ERR invalid cursor

# Encodings grow and never shrink.
HSET e f 0123456789012345678901234567890123456789012345678901234567890123 => :1
OBJECT ENCODING e => listpack
HSET e f 01234567890123456789012345678901234567890123456789012345678901234 => :0
OBJECT ENCODING e => hashtable
HSET e f v => :0
OBJECT ENCODING e => hashtable

# Another type is refused.
SET s v => +OK
HGET s f => -WRONGTYPE Operation against a key holding the wrong kind of value
HSET s f v => -WRONGTYPE Operation against a key holding the wrong kind of value
HDEL s f => -WRONGTYPE Operation against a key holding the wrong kind of value
