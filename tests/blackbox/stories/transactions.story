# Commands are queued, then run as one.
MULTI => +OK
SET {t}a 1 => +QUEUED
INCR {t}a => +QUEUED
GET {t}a => +QUEUED
LPUSH {t}l x => +QUEUED
EXEC => [+OK :2 2 :1]
GET {t}a => 2

# A mistake in one command does not undo the others.
MULTI => +OK
SET {t}a x => +QUEUED
INCR {t}a => +QUEUED
LPUSH {t}a y => +QUEUED
SET {t}b 1 => +QUEUED
EXEC => [+OK -ERR value is not an integer or out of range -WRONGTYPE Operation against a key holding the wrong kind of value +OK]
GET {t}b => 1

# A command that can't be queued spoils the transaction.
MULTI => +OK
SET {t}b 2 => +QUEUED
NOSUCH => -ERR unknown command 'NOSUCH', with args beginning with: 
SET {t}b => -ERR wrong number of arguments for 'set' command
EXEC => -EXECABORT Transaction discarded because of previous errors.
GET {t}b => 1

# Discarding.
MULTI => +OK
SET {t}b 2 => +QUEUED
DISCARD => +OK
GET {t}b => 1
DISCARD => -ERR DISCARD without MULTI
EXEC => -ERR EXEC without MULTI
MULTI => +OK
WATCH {t}b => -ERR WATCH inside MULTI is not allowed
EXEC => []
MULTI => +OK
MULTI => -ERR MULTI calls can not be nested
EXEC => -EXECABORT Transaction discarded because of previous errors.
MULTI => +OK
MGET => -ERR wrong number of arguments for 'mget' command
DISCARD => +OK

# Watching one's own changes.
WATCH {t}b => +OK
SET {t}b 3 => +OK
MULTI => +OK
SET {t}b 4 => +QUEUED
EXEC => nil
GET {t}b => 3
WATCH {t}b => +OK
UNWATCH => +OK
SET {t}b 5 => +OK
MULTI => +OK
GET {t}b => +QUEUED
EXEC => [5]
MULTI => +OK
WATCH {t}b => -ERR WATCH inside MULTI is not allowed
DISCARD => +OK

# A key that dies under watch spoils nothing if it was dead before, and all if it was alive.
SET {t}e v PX 500 => +OK
WATCH {t}e => +OK
sleep 550
MULTI => +OK
PING => +QUEUED
EXEC => nil
WATCH {t}never => +OK
MULTI => +OK
PING => +QUEUED
EXEC => [+PONG]

# Blocking commands do not block in a transaction.
MULTI => +OK
BLPOP {t}none 0 => +QUEUED
BLMOVE {t}none {t}other LEFT LEFT 0 => +QUEUED
BZPOPMIN {t}none 0 => +QUEUED
EXEC => [nil nil nil]

# SELECT in a transaction holds in it and after it.
MULTI => +OK
SELECT 2 => +QUEUED
SET {t}db two => +QUEUED
EXEC => [+OK +OK]
GET {t}db => two
SELECT 0 => +OK
GET {t}db => nil
