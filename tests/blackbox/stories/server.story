# Small talk.
PING => +PONG
PING hello => hello
PING a b => -ERR wrong number of arguments for 'ping' command
ECHO hello => hello
TIME =~ [* *]
NOSUCH => -ERR unknown command 'NOSUCH', with args beginning with: 
NOSUCH a b => -ERR unknown command 'NOSUCH', with args beginning with: 'a' 'b' 
NOSUCH argument-of-25-bytes-1234 argument-of-25-bytes-1234 argument-of-25-bytes-1234 argument-of-25-bytes-1234 argument-of-25-bytes-1234 argument-of-25-bytes-1234 => -ERR unknown command 'NOSUCH', with args beginning with: 'argument-of-25-bytes-1234' 'argument-of-25-bytes-1234' 'argument-of-25-bytes-1234' 'argument-of-25-bytes-1234' 'argument-of-25-b' 
GET => -ERR wrong number of arguments for 'get' command
get a b => -ERR wrong number of arguments for 'get' command

# The table of commands describes itself.
COMMAND COUNT =~ :*
COMMAND INFO get => [[get :2 [+readonly +fast] :1 :1 :1 [+@read +@string +@fast] [] [[flags [+RO +access] begin_search [type index spec [index :1]] find_keys [type range spec [lastkey :0 keystep :1 limit :0]]]] []]]
COMMAND INFO nosuch => [nil]
COMMAND GETKEYS MSET a b c d => [a c]
COMMAND GETKEYS ZUNION 2 x y => [x y]
COMMAND GETKEYS SORT a STORE b STORE c => [a c]
COMMAND GETKEYS ECHO x => -ERR The command has no key arguments
COMMAND LIST FILTERBY PATTERN xget* => []
COMMAND NOSUCH => -ERR unknown subcommand 'NOSUCH'. Try COMMAND HELP.

# Settings.
CONFIG GET appendonly => [appendonly yes]
CONFIG GET nosuch => []
CONFIG GET databases => [databases 16]
CONFIG SET nosuch 1 => -ERR Unknown option or number of arguments for CONFIG SET - 'nosuch'
CONFIG RESETSTAT => +OK

# A connection has a name.
CLIENT GETNAME => nil
CLIENT SETNAME worker => +OK
CLIENT GETNAME => worker
CLIENT SETNAME 'a b' => -ERR Client names cannot contain spaces, newlines or special characters.
CLIENT ID =~ :*
CLIENT INFO =~ 'id=* addr=127.0.0.1:* name=worker * db=0 *'
CLIENT LIST =~ *name=worker*
CLIENT NO-EVICT ON => +OK
CLIENT SETNAME '' => +OK
CLIENT GETNAME => nil
CLIENT NOSUCH => -ERR unknown subcommand 'NOSUCH'. Try CLIENT HELP.

# What an OK means needs no waiting for.
WAIT 0 0 =~ :*

# RESET puts everything back.
SELECT 3 => +OK
CLIENT SETNAME x => +OK
MULTI => +OK
RESET => +RESET
CLIENT GETNAME => nil
EXEC => -ERR EXEC without MULTI
