# Keys exist until they are deleted.
SET {k}a 1 => +OK
SET {k}b 2 => +OK
EXISTS {k}a {k}b {k}c {k}a => :3
TYPE {k}a => +string
TYPE {k}none => +none
TOUCH {k}a {k}none => :1
DEL {k}a {k}none => :1
UNLINK {k}b => :1
DBSIZE => :0

# Deadlines are set, read, moved under conditions, and removed.
EXPIRE x 10 => :0
SET x v => +OK
TTL x => :-1
PTTL x => :-1
TTL none => :-2
EXPIRETIME x => :-1
EXPIRETIME none => :-2
EXPIRE x 100 XX => :0
EXPIRE x 100 NX => :1
EXPIRE x 200 NX => :0
EXPIRE x 50 GT => :0
EXPIRE x 50 LT => :1
EXPIRE x 200 GT => :1
TTL x => :200
EXPIRE x 10 NX GT => -ERR NX and XX, GT or LT options at the same time are not compatible
EXPIRE x 10 GT LT => -ERR GT and LT options at the same time are not compatible
EXPIRE x 10 WRONG => -ERR Unsupported option WRONG
EXPIRE x abc => -ERR value is not an integer or out of range
EXPIRE x 9223372036854775807 => -ERR invalid expire time in 'expire' command
PEXPIREAT x 99999999999999 => :1
PEXPIRETIME x => :99999999999999
EXPIREAT x 99999999999 => :1
EXPIRETIME x => :99999999999
PERSIST x => :1
PERSIST x => :0
EXPIRE x 100 GT => :0
EXPIRE x 100 LT => :1
PEXPIRE x 15 => :1
sleep 30
EXISTS x => :0
SET x v => +OK
EXPIRE x -1 => :1
EXISTS x => :0
SET x v => +OK
EXPIREAT x 1 => :1
TTL x => :-2

# A key that died is as if it never was.
RPUSH dead a => :1
PEXPIRE dead 10 => :1
sleep 25
RPUSH dead b => :1
LRANGE dead 0 -1 => [b]
TTL dead => :-1

# Renaming takes the value and its deadline along.
SET {r}a v EX 100 => +OK
RENAME {r}a {r}b => +OK
TTL {r}b => :100
EXISTS {r}a => :0
RENAME {r}a {r}b => -ERR no such key
SET {r}c w => +OK
RENAMENX {r}b {r}c => :0
RENAMENX {r}b {r}d => :1
RENAME {r}d {r}d => +OK

# Copies are apart from their origin.
RPUSH {c}a 1 2 => :2
COPY {c}a {c}b => :1
RPUSH {c}b 3 => :3
LLEN {c}a => :2
COPY {c}a {c}b => :0
COPY {c}a {c}b REPLACE => :1
LLEN {c}b => :2
COPY {c}none {c}b => :0
COPY {c}a {c}a => -ERR source and destination objects are the same

# Sixteen databases.
FLUSHALL => +OK
SELECT 1 => +OK
SET a one => +OK
SELECT 0 => +OK
GET a => nil
SET a zero => +OK
MOVE a 1 => :0
COPY a b DB 1 => :1
SELECT 1 => +OK
MGET a b => [one zero]
DBSIZE => :2
SWAPDB 0 1 => +OK
GET a => zero
FLUSHDB => +OK
SELECT 0 => +OK
DBSIZE => :2
MOVE b 1 => :1
DBSIZE => :1
SELECT 16 => -ERR DB index is out of range
SELECT x => -ERR value is not an integer or out of range
FLUSHALL => +OK
DBSIZE => :0
RANDOMKEY => nil

# Patterns.
MSET hello 1 hallo 1 hxllo 1 heeeello 1 '[x]' 1 => +OK
KEYS h*ee*llo => [heeeello]
KEYS h[e]llo => [hello]
KEYS \[x] => ['[x]']
KEYS h[^e-x]llo => [hallo]
KEYS h?ll => []
RANDOMKEY =~ *
FLUSHALL => +OK

# Encodings are named as in Redis.
SET {o}int 123 => +OK
SET {o}embstr short => +OK
SET {o}raw 012345678901234567890123456789012345678901234567890123456789 => +OK
OBJECT ENCODING {o}int => int
OBJECT ENCODING {o}embstr => embstr
OBJECT ENCODING {o}raw => raw
OBJECT REFCOUNT {o}embstr => :1
OBJECT ENCODING {o}none => nil
OBJECT NOSUCH a => -ERR unknown subcommand 'NOSUCH'. Try OBJECT HELP.
RPUSH {o}list a => :1
SADD {o}ints 1 2 => :2
SADD {o}set a => :1
HSET {o}hash f v => :1
ZADD {o}zset 1 m => :1
OBJECT ENCODING {o}ints => intset
OBJECT ENCODING {o}zset => listpack
OBJECT ENCODING {o}hash => listpack
TYPE {o}list => +list
TYPE {o}set => +set
TYPE {o}hash => +hash
TYPE {o}zset => +zset

# Sorting.
RPUSH {s}l 3 1 2 10 => :4
SORT {s}l => [1 2 3 10]
SORT {s}l DESC LIMIT 0 2 => [10 3]
SORT {s}l ALPHA => [1 10 2 3]
SORT {s}l STORE {s}sorted => :4
LRANGE {s}sorted 0 -1 => [1 2 3 10]
MSET {s}w1 30 {s}w2 20 {s}w3 10 {s}w10 0 => +OK
SORT {s}l BY {s}w* => [10 3 2 1]
SORT {s}l BY nosort GET # GET {s}w* LIMIT 0 2 => [3 10 1 30]
SORT_RO {s}l => [1 2 3 10]
RPUSH {s}words b a => :2
SORT {s}words => -ERR One or more scores can't be converted into double
SORT {s}words ALPHA => [a b]

# A value travels as bytes, with a checksum and a version. What is no value changes nothing.
DUMP none => nil
RESTORE r 0 \x00\xC0\x0A\x0A\x00\x6E\x9F\x57\x45\x0E\xAE\x63\xBB => +OK
GET r => 10
TTL r => :-1
RESTORE r 0 \x00\xC0\x0A\x0A\x00\x6E\x9F\x57\x45\x0E\xAE\x63\xBB => -BUSYKEY Target key name already exists.
RESTORE r 100000 \x00\xC0\x0A\x0A\x00\x6E\x9F\x57\x45\x0E\xAE\x63\xBB REPLACE => +OK
TTL r => :100
RESTORE r 99999999999999 \x00\xC0\x0A\x0A\x00\x6E\x9F\x57\x45\x0E\xAE\x63\xBB REPLACE ABSTTL IDLETIME 5 => +OK
PEXPIRETIME r => :99999999999999
RESTORE r 0 junk REPLACE => -ERR DUMP payload version or checksum are wrong
RESTORE r 0 \x00\xC0\x0A\x0A\x00\x6E\x9F\x57\x45\x0E\xAE\x63\x00 REPLACE => -ERR DUMP payload version or checksum are wrong
RESTORE r 0 \x01\x00\x09\x00\x8B\x0A\x74\x00\x38\x91\x20\xE7 REPLACE => -ERR Bad data format
RESTORE r 0 \x04\x02\x01\x66\x01\x76\x01\x66\x01\x77\x09\x00\x72\x59\x31\x77\x5B\x45\x9E\x76 REPLACE => -ERR Bad data format
RESTORE r -1 \x00\xC0\x0A\x0A\x00\x6E\x9F\x57\x45\x0E\xAE\x63\xBB REPLACE => -ERR Invalid TTL value, must be >= 0
RESTORE r x \x00\xC0\x0A\x0A\x00\x6E\x9F\x57\x45\x0E\xAE\x63\xBB REPLACE => -ERR value is not an integer or out of range
RESTORE r 0 \x00\xC0\x0A\x0A\x00\x6E\x9F\x57\x45\x0E\xAE\x63\xBB REPLACE IDLETIME -1 => -ERR Invalid IDLETIME value, must be >= 0
RESTORE r 0 \x00\xC0\x0A\x0A\x00\x6E\x9F\x57\x45\x0E\xAE\x63\xBB REPLACE FREQ 256 => -ERR Invalid FREQ value, must be >= 0 and <= 255
RESTORE r 0 \x00\xC0\x0A\x0A\x00\x6E\x9F\x57\x45\x0E\xAE\x63\xBB REPLACE FREQ 1 IDLETIME 1 => -ERR syntax error
RESTORE r 0 \x00\xC0\x0A\x0A\x00\x6E\x9F\x57\x45\x0E\xAE\x63\xBB REPLACE WRONG => -ERR syntax error
GET r => 10
RESTORE r 5 \x00\xC0\x0A\x0A\x00\x6E\x9F\x57\x45\x0E\xAE\x63\xBB REPLACE ABSTTL => +OK
EXISTS r => :0
