# A value is set, read, replaced and gone.
GET s => nil
SET s v => +OK
GET s => v
STRLEN s => :1
APPEND s alue => :5
GETSET s other => value
GETDEL s => other
EXISTS s => :0
GETDEL s => nil

# SET obeys its conditions, and GET tells what was there before.
SET c 1 XX => nil
SET c 1 NX => +OK
SET c 2 NX => nil
SET c 3 NX GET => 1
GET c => 1
SET c 4 XX GET => 1
SET d 1 GET => nil
SET c v NX XX => -ERR syntax error
SETNX c 5 => :0
SETNX e 5 => :1

# SET and GETEX manage deadlines.
SET t v EX 100 => +OK
TTL t => :100
SET t v KEEPTTL => +OK
TTL t => :100
SET t v => +OK
TTL t => :-1
SET t v PX 100000 => +OK
PTTL t =~ :*
GETEX t PERSIST => v
TTL t => :-1
GETEX t EX 50 => v
TTL t => :50
GETEX t EXAT 99999999999 => v
EXPIRETIME t => :99999999999
SETEX t 10 w => +OK
TTL t => :10
PSETEX t 10000 w => +OK
TTL t => :10
SET t v EX 0 => -ERR invalid expire time in 'set' command
SET t v EX -1 => -ERR invalid expire time in 'set' command
SET t v EX 9223372036854775807 => -ERR invalid expire time in 'set' command
SET t v EX abc => -ERR value is not an integer or out of range
SET t v EX 1 PX 1 => -ERR syntax error
SET t v EX => -ERR syntax error
SETEX t 0 w => -ERR invalid expire time in 'setex' command
PSETEX t -5 w => -ERR invalid expire time in 'psetex' command
GETEX t EX 0 => -ERR invalid expire time in 'getex' command
GET t => w
SET short v PX 15 => +OK
sleep 30
GET short => nil

# Numbers count, within 64 bits and within doubles.
INCR n => :1
INCRBY n 41 => :42
DECR n => :41
DECRBY n 40 => :1
INCRBYFLOAT n 1.5 => 2.5
INCR n => -ERR value is not an integer or out of range
INCRBYFLOAT n abc => -ERR value is not a valid float
SET n 9223372036854775807 => +OK
INCR n => -ERR increment or decrement would overflow
DECRBY n -9223372036854775808 => -ERR decrement would overflow
SET n ' 1' => +OK
INCR n => -ERR value is not an integer or out of range
SET n 3.0e3 => +OK
INCRBYFLOAT n 200 => 3200
INCRBYFLOAT n inf => -ERR increment would produce NaN or Infinity
SET n 10.50 => +OK
INCRBYFLOAT n 0.1 => 10.6
INCRBYFLOAT n -5 => 5.6

# Ranges.
SET r 'Hello World' => +OK
GETRANGE r 0 4 => Hello
GETRANGE r -5 -1 => World
GETRANGE r 0 -1 => 'Hello World'
GETRANGE r 20 30 => ''
GETRANGE r 5 1 => ''
SUBSTR r 0 1 => He
SETRANGE r 6 Redis => :11
GET r => 'Hello Redis'
SETRANGE fresh 3 x => :4
GET fresh => '\x00\x00\x00x'
SETRANGE nothing 3 '' => :0
EXISTS nothing => :0
SETRANGE r -1 x => -ERR offset is out of range
SETRANGE r 536870912 x => -ERR string exceeds maximum allowed size (proto-max-bulk-len)

# Many at once.
MSET {m}a 1 {m}b 2 {m}a 3 => +OK
MGET {m}a {m}b {m}c => [3 2 nil]
MSETNX {m}c 4 {m}a 5 => :0
MGET {m}c {m}a => [nil 3]
MSETNX {m}c 4 {m}d 5 => :1
MSET a => -ERR wrong number of arguments for 'mset' command
MSET a b c => -ERR wrong number of arguments for 'mset' command

# Longest common subsequence.
MSET {l}1 ohmytext {l}2 mynewtext => +OK
LCS {l}1 {l}2 => mytext
LCS {l}1 {l}2 LEN => :6
LCS {l}1 {l}2 IDX => [matches [[[:4 :7] [:5 :8]] [[:2 :3] [:0 :1]]] len :6]
LCS {l}1 {l}2 IDX MINMATCHLEN 4 WITHMATCHLEN => [matches [[[:4 :7] [:5 :8] :4]] len :6]
LCS {l}1 {l}2 IDX LEN => -ERR If you want both the length and indexes, please just use IDX.

# Bytes are bytes.
SET bin '\x00\xff\x0d\x0a' => +OK
GET bin => '\x00\xff\r\n'
STRLEN bin => :4

# The type of a key is respected.
RPUSH {w}list a => :1
GET {w}list => -WRONGTYPE Operation against a key holding the wrong kind of value
APPEND {w}list a => -WRONGTYPE Operation against a key holding the wrong kind of value
INCR {w}list => -WRONGTYPE Operation against a key holding the wrong kind of value
MGET {w}list {w}none => [nil nil]
SET {w}list now-a-string => +OK
TYPE {w}list => +string
