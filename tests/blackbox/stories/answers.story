# Scores are read as strtod reads them; one that a double can't hold is refused.
ZADD z 1e-400 tiny => -ERR value is not a valid float
ZADD z 1e400 huge => -ERR value is not a valid float
ZADD z 0x10 hex => :1
ZSCORE z hex => 16
ZRANGEBYSCORE z 0x0 0x10 => [hex]
ZRANGEBYSCORE z '' ( => []
ZRANGEBYSCORE z '( 1' 1e400 => [hex]
ZCOUNT z 1e-400 +inf => :1

# So are the numbers of INCRBYFLOAT and HINCRBYFLOAT.
SET f 0x1 => +OK
INCRBYFLOAT f 1 => 2
INCRBYFLOAT f 0x10 => 18
INCRBYFLOAT f 1e-400 => 18
HSET h f 0x10 => :1
HINCRBYFLOAT h f 1 => 17

# Numbers with leading blanks are sorted.
RPUSH blanks ' 3' 2 ' 1' => :3
SORT blanks => [' 1' 2 ' 3']

# A count of keys that can't be names no keys.
COMMAND GETKEYS ZUNIONSTORE d -1 a => -ERR Invalid arguments specified for command
COMMAND GETKEYS ZUNIONSTORE d 2 a => -ERR Invalid arguments specified for command
COMMAND GETKEYS ZUNIONSTORE d 1 a => [d a]

# A missing key, or one of another type, is answered before a fault in the options.
GETEX missing EX 0 => nil
GETEX missing EX x => nil
GETEX h EX 0 => -WRONGTYPE Operation against a key holding the wrong kind of value
SSCAN missing 0 COUNT 0 => [0 []]
SSCAN h 0 COUNT x => -WRONGTYPE Operation against a key holding the wrong kind of value
HSCAN missing 0 COUNT 0 => [0 []]
ZSCAN h 0 COUNT 0 => -WRONGTYPE Operation against a key holding the wrong kind of value
ZUNIONSTORE d 1 h WEIGHTS x => -WRONGTYPE Operation against a key holding the wrong kind of value
ZUNION 1 h FOO => -WRONGTYPE Operation against a key holding the wrong kind of value
ZINTER 2 missing h FOO => -WRONGTYPE Operation against a key holding the wrong kind of value
ZDIFF 1 h FOO => -WRONGTYPE Operation against a key holding the wrong kind of value
ZINTERCARD 1 h LIMIT -1 => -WRONGTYPE Operation against a key holding the wrong kind of value
LCS h missing FOO => -ERR The specified keys must contain string values
ZUNION 1 missing FOO => -ERR syntax error

# Of an option that is named twice the last counts.
SET k v EX 1 EX 200 => +OK
TTL k => :200
GETEX k PX 1 PX 300000 => v
TTL k => :300
SET k v KEEPTTL KEEPTTL => +OK
SET k v EX 1 PX 1 => -ERR syntax error

# A cursor is any number of 64 bits, with a sign if need be.
SSCAN k -1 => -WRONGTYPE Operation against a key holding the wrong kind of value
SSCAN missing -1 => [0 []]
SCAN 18446744073709551616 => -ERR invalid cursor
SCAN 4611686018427403399 => [0 []]

# A count of pairs is one that 64 bits hold twice, whatever its sign.
HSET pairs f v => :1
ZADD scored 1 m => :1
HRANDFIELD pairs 4611686018427387904 WITHVALUES => -ERR value is out of range
HRANDFIELD pairs -4611686018427387904 WITHVALUES => -ERR value is out of range
HRANDFIELD pairs 4611686018427387903 WITHVALUES => [f v]
HRANDFIELD pairs 9223372036854775807 => [f]
HRANDFIELD missing 4611686018427387904 WITHVALUES => -ERR value is out of range
ZRANDMEMBER scored 4611686018427387904 WITHSCORES => -ERR value is out of range
ZRANDMEMBER scored 4611686018427387903 WITHSCORES => [m 1]
