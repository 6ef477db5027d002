# Both ends, and the middle.
RPUSH l b c => :2
LPUSH l a => :3
LRANGE l 0 -1 => [a b c]
LLEN l => :3
LINDEX l 0 => a
LINDEX l -1 => c
LINDEX l 3 => nil
LINSERT l BEFORE b x => :4
LINSERT l AFTER b y => :5
LINSERT l AFTER none y => :-1
LINSERT none AFTER a y => :0
LINSERT l NEAR b y => -ERR syntax error
LSET l 1 X => +OK
LSET l 9 X => -ERR index out of range
LSET none 0 X => -ERR no such key
LRANGE l 0 -1 => [a X b y c]
LRANGE l 1 2 => [X b]
LRANGE l -100 100 => [a X b y c]
LRANGE l 3 1 => []
LRANGE none 0 -1 => []
LPOP l => a
RPOP l => c
LPOP l 2 => [X b]
LPOP l 0 => []
RPOP l 9 => [y]
EXISTS l => :0
LPOP l => nil
LPOP l 2 => nil
LPOP l -1 => -ERR value is out of range, must be positive
LPUSHX l a => :0
RPUSHX l a => :0
RPUSH l a => :1
LPUSHX l b c => :3
RPUSHX l d => :4
LRANGE l 0 -1 => [c b a d]

# Removing and trimming.
RPUSH t a b a c a => :5
LREM t 1 a => :1
LREM t -1 a => :1
LRANGE t 0 -1 => [b a c]
LREM t 0 none => :0
LTRIM t 1 1 => +OK
LRANGE t 0 -1 => [a]
LTRIM t 5 9 => +OK
EXISTS t => :0

# Positions.
RPUSH p a b c 1 2 3 c c => :8
LPOS p c => :2
LPOS p none => nil
LPOS p c RANK 2 => :6
LPOS p c RANK -1 => :7
LPOS p c COUNT 0 => [:2 :6 :7]
LPOS p c COUNT 2 RANK -1 => [:7 :6]
LPOS p none COUNT 0 => []
LPOS p c MAXLEN 1 => nil
LPOS p c RANK 0 => -ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use negative to start from the end of the list
LPOS p c COUNT -1 => -ERR COUNT can't be negative

# Moving between lists.
RPUSH {m}a 1 2 3 => :3
LMOVE {m}a {m}b LEFT RIGHT => 1
RPOPLPUSH {m}a {m}b => 3
LRANGE {m}b 0 -1 => [3 1]
LMOVE {m}b {m}b LEFT RIGHT => 3
LRANGE {m}b 0 -1 => [1 3]
LMOVE {m}none {m}b LEFT RIGHT => nil
LMOVE {m}a {m}b UP RIGHT => -ERR syntax error
LMPOP 2 {m}none {m}b LEFT COUNT 5 => ['{m}b' [1 3]]
LMPOP 1 {m}none LEFT => nil
LMPOP 0 {m}b LEFT => -ERR numkeys should be greater than 0
LMPOP 1 {m}b LEFT COUNT 0 => -ERR count should be greater than 0

# What is ready does not block.
RPUSH {b}l a b c d => :4
BLPOP {b}none {b}l 0 => ['{b}l' a]
BRPOP {b}l 0 => ['{b}l' d]
BLMOVE {b}l {b}o LEFT LEFT 0 => b
BRPOPLPUSH {b}l {b}o 0 => c
BLMPOP 0 2 {b}l {b}o RIGHT COUNT 1 => ['{b}o' [b]]
BLPOP {b}l 0.01 => nil
BLMOVE {b}l {b}o LEFT LEFT 0.01 => nil
BLPOP {b}l -1 => -ERR timeout is negative
BLPOP {b}l abc => -ERR timeout is not a float or out of range
BLPOP {b}l 1e300 =~ -ERR timeout is *

# Another type is refused.
SET s v => +OK
LPUSH s a => -WRONGTYPE Operation against a key holding the wrong kind of value
LRANGE s 0 -1 => -WRONGTYPE Operation against a key holding the wrong kind of value
BLPOP s 0 => -WRONGTYPE Operation against a key holding the wrong kind of value
LMOVE l s LEFT LEFT => -WRONGTYPE Operation against a key holding the wrong kind of value
LRANGE l 0 -1 => [c b a d]
