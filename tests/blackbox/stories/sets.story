# Members are in or out.
SADD s a b c a => :3
SCARD s => :3
SISMEMBER s a => :1
SISMEMBER s z => :0
SMISMEMBER s a z c => [:1 :0 :1]
SMISMEMBER none a b => [:0 :0]
SREM s a z => :1
SREM s b c => :2
EXISTS s => :0
SMEMBERS s => []
SCARD s => :0

# Integers stay in order.
SADD i 3 1 2 => :3
SMEMBERS i => [1 2 3]
OBJECT ENCODING i => intset
SADD i word => :1
OBJECT ENCODING i =~ *t*

# Algebra.
SADD {a}1 1 2 3 4 => :4
SADD {a}2 2 4 6 => :3
SADD {a}3 4 => :1
SINTER {a}1 {a}2 => [2 4]
SINTER {a}1 {a}none => []
SINTERCARD 2 {a}1 {a}2 => :2
SINTERCARD 2 {a}1 {a}2 LIMIT 1 => :1
SINTERCARD 0 {a}1 => -ERR numkeys should be greater than 0
SINTERCARD 2 {a}1 {a}2 LIMIT -1 => -ERR LIMIT can't be negative
SDIFF {a}1 {a}2 => [1 3]
SDIFF {a}none {a}1 => []
SUNION {a}3 {a}none => [4]
SINTERSTORE {a}d {a}1 {a}2 {a}3 => :1
SMEMBERS {a}d => [4]
SUNIONSTORE {a}d {a}1 {a}2 => :5
SMEMBERS {a}d => [1 2 3 4 6]
SDIFFSTORE {a}d {a}1 {a}1 => :0
EXISTS {a}d => :0

# Moving, popping, picking.
SMOVE {a}1 {a}3 1 => :1
SMOVE {a}1 {a}3 99 => :0
SMEMBERS {a}3 => [1 4]
SPOP {a}none => nil
SPOP {a}none 2 => []
SADD one x => :1
SRANDMEMBER one => x
SRANDMEMBER one 5 => [x]
SRANDMEMBER one -3 => [x x x]
SRANDMEMBER none => nil
SRANDMEMBER none 3 => []
SPOP one 0 => []
SPOP one -1 => -ERR value is out of range, must be positive
SPOP one => x
EXISTS one => :0
SADD one x => :1
SPOP one 10 => [x]
SSCAN {a}3 0 => [0 [1 4]]

# Another type is refused, even where a set is missing.
SET {w}s v => +OK
SADD {w}s a => -WRONGTYPE Operation against a key holding the wrong kind of value
SINTER {w}none {w}s => -WRONGTYPE Operation against a key holding the wrong kind of value
SUNION {w}none {w}s => -WRONGTYPE Operation against a key holding the wrong kind of value
SMEMBERS {w}s => -WRONGTYPE Operation against a key holding the wrong kind of value
