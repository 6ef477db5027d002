# Scores are set, moved and asked for.
ZADD z 1 a 2 b 3 c => :3
ZADD z 2 a 9 d => :1
ZADD z CH 3 a 9 d => :1
ZSCORE z a => 3
ZSCORE z none => nil
ZMSCORE z a none => [3 nil]
ZADD z NX 99 a 1 e => :1
ZADD z XX 4 a 1 f => :0
ZADD z GT 3 a => :0
ZADD z GT CH 5 a => :1
ZADD z LT CH 4 a => :1
ZADD z INCR 1 a => 5
ZADD z NX INCR 1 a => nil
ZADD z XX NX 1 a => -ERR XX and NX options at the same time are not compatible
ZADD z GT LT 1 a => -ERR GT, LT, and/or NX options at the same time are not compatible
ZADD z INCR 1 a 2 b => -ERR INCR option supports a single increment-element pair
ZADD z 1 => -ERR wrong number of arguments for 'zadd' command
ZADD z 1 a 2 => -ERR syntax error
ZADD z abc a => -ERR value is not a valid float
ZADD z nan a => -ERR value is not a valid float
ZINCRBY z 0.5 a => 5.5
ZINCRBY z abc a => -ERR value is not a valid float
ZCARD z => :5
ZRANGE z 0 -1 WITHSCORES => [e 1 b 2 c 3 a 5.5 d 9]
ZREM z e none => :1
ZADD inf inf up -inf down => :2
ZRANGE inf 0 -1 WITHSCORES => [down '-inf' up inf]
ZINCRBY inf -inf up => -ERR resulting score is not a number (NaN)

# Ranks.
ZRANK z b => :0
ZRANK z d => :3
ZREVRANK z d => :0
ZRANK z none => nil

# Ranges by rank, score and word.
ZRANGE z 1 2 => [c a]
ZRANGE z 0 0 REV => [d]
ZREVRANGE z 0 1 WITHSCORES => [d 9 a 5.5]
ZRANGE z -2 -1 => [a d]
ZRANGE z 5 9 => []
ZRANGEBYSCORE z 2 3 => [b c]
ZRANGEBYSCORE z (2 +inf => [c a d]
ZRANGEBYSCORE z -inf (3 WITHSCORES => [b 2]
ZRANGEBYSCORE z -inf +inf LIMIT 1 2 => [c a]
ZREVRANGEBYSCORE z +inf 3 => [d a c]
ZRANGE z (2 9 BYSCORE LIMIT 0 1 => [c]
ZRANGE z 9 2 BYSCORE REV => [d a c b]
ZRANGE z 0 1 LIMIT 0 1 => -ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX
ZRANGE z a b BYSCORE => -ERR min or max is not a float
ZCOUNT z 2 (9 => :3
ZADD lex 0 a 0 b 0 c 0 d => :4
ZRANGEBYLEX lex - [c => [a b c]
ZRANGEBYLEX lex (a (d => [b c]
ZREVRANGEBYLEX lex + [c => [d c]
ZRANGE lex [b + BYLEX LIMIT 1 1 => [c]
ZLEXCOUNT lex - + => :4
ZLEXCOUNT lex [b (d => :2
ZRANGEBYLEX lex b c => -ERR min or max not valid string range item
ZRANGE lex - + BYLEX WITHSCORES => -ERR syntax error, WITHSCORES not supported in combination with BYLEX

# Removing ranges and popping ends.
ZREMRANGEBYLEX lex - [b => :2
ZREMRANGEBYRANK z 0 0 => :1
ZREMRANGEBYSCORE z 3 (5 => :1
ZRANGE z 0 -1 => [a d]
ZPOPMIN z => [a 5.5]
ZPOPMAX z 5 => [d 9]
EXISTS z => :0
ZPOPMIN z => []
ZADD {p}z 1 a 2 b 3 c => :3
ZMPOP 2 {p}none {p}z MIN COUNT 2 => ['{p}z' [[a 1] [b 2]]]
ZMPOP 1 {p}none MAX => nil
BZPOPMIN {p}none {p}z 0 => ['{p}z' c 3]
BZPOPMAX {p}z 0.01 => nil
ZADD {p}z 1 a => :1
BZMPOP 0 1 {p}z MAX => ['{p}z' [[a 1]]]

# Algebra.
ZADD {a}1 1 a 2 b => :2
ZADD {a}2 10 b 20 c => :2
ZUNION 2 {a}1 {a}2 WITHSCORES => [a 1 b 12 c 20]
ZINTER 2 {a}1 {a}2 WITHSCORES => [b 12]
ZDIFF 2 {a}1 {a}2 WITHSCORES => [a 1]
ZINTERCARD 2 {a}1 {a}2 => :1
ZUNIONSTORE {a}d 2 {a}1 {a}2 WEIGHTS 2 1 AGGREGATE MAX => :3
ZRANGE {a}d 0 -1 WITHSCORES => [a 2 b 10 c 20]
ZINTERSTORE {a}d 2 {a}1 {a}2 AGGREGATE MIN => :1
ZRANGE {a}d 0 -1 WITHSCORES => [b 2]
ZDIFFSTORE {a}d 2 {a}1 {a}2 => :1
ZRANGESTORE {a}d {a}1 0 0 => :1
ZRANGE {a}d 0 -1 => [a]
ZDIFFSTORE {a}d 2 {a}1 {a}1 => :0
EXISTS {a}d => :0
SADD {a}s b z => :2
ZUNION 2 {a}1 {a}s WITHSCORES => [a 1 z 1 b 3]
ZUNION 0 {a}1 => -ERR at least 1 input key is needed for 'zunion' command
ZUNION 2 {a}1 {a}2 WEIGHTS x 1 => -ERR weight value is not a float
ZRANDMEMBER {a}none => nil
ZRANDMEMBER {a}none 2 => []
ZADD one 1 x => :1
ZRANDMEMBER one -2 WITHSCORES => [x 1 x 1]
ZSCAN one 0 => [0 [x 1]]

# Scores are written short, and with an exponent where they would get long.
ZADD f 3.0 a 0.5 b 1e21 c 100000000000000000 d -2.25 e 4503599627370495 f => :6
ZMSCORE f a b c d e f => [3 0.5 1e+21 1e+17 '-2.25' 4503599627370495]

# Another type is refused.
SET s v => +OK
ZADD s 1 a => -WRONGTYPE Operation against a key holding the wrong kind of value
ZRANGE s 0 -1 => -WRONGTYPE Operation against a key holding the wrong kind of value
