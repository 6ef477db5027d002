# Every kind of reply in the richer protocol.
HSET h f v g w => :2
HGETALL h => {f=v g=w}
HRANDFIELD h 5 WITHVALUES =~ [[* *] [* *]]
HGET h none => nil
SADD s a b => :2
SMEMBERS s => ~[a b]
SUNION s s2 => ~[a b]
SPOP none 2 => ~[]
ZADD z 1.5 m 2 n => :2
ZSCORE z m => ,1.5
ZRANGE z 0 -1 WITHSCORES => [[m ,1.5] [n ,2]]
ZPOPMIN z => [m ,1.5]
ZMSCORE z n none => [,2 nil]
ZADD z INCR 1 n => ,3
ZINCRBY z 1 n => ,4
INCRBYFLOAT f 1.5 => 1.5
BLPOP none 0.01 => nil
LPOP none => nil
CONFIG GET databases => {databases=16}
CLIENT INFO =~ =id=*resp=3*
INFO server =~ =#*
LCS h2 h3 IDX => {len=:0 matches=[]}
WATCH w => +OK
SET w 1 => +OK
MULTI => +OK
EXEC => nil
HELLO 2 =~ [server * proto :2 *]
HGETALL h => [f v g w]
HELLO 4 => -NOPROTO unsupported protocol version
HELLO x => -ERR Protocol version is not an integer or out of range
HELLO 3 SETNAME me =~ {*proto=:3*}
CLIENT GETNAME => me
HELLO 3 NOSUCH => -ERR Syntax error in HELLO option 'NOSUCH'
