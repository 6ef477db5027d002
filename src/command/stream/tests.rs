use crate::command::testing::TestDb;

fn filled() -> TestDb {
    let mut db = TestDb::new();
    for line in ["XADD s 1-1 a 1 b 2", "XADD s 1-2 a 3 b 4", "XADD s 2-0 c x", "XADD s 5-7 a 5 b 6"] {
        db.run(line);
    }
    db
}

#[track_caller]
fn assert_answers(db: &mut TestDb, lines: &[(&str, &str)]) {
    for (line, answer) in lines {
        assert_eq!(db.show(line), *answer, "{line}");
    }
}

#[test]
fn ids_come_from_the_time_of_the_entry() {
    let mut db = TestDb::new();
    assert_answers(
        &mut db,
        &[
            ("XADD s * f v", "1000000-0"),
            ("XADD s * f v", "1000000-1"),
            ("XADD s 1000000-* f v", "1000000-2"),
            ("XADD s 1000001-* f v", "1000001-0"),
            ("XADD s * f v", "1000001-1"),
            (
                "XADD s 18446744073709551615-18446744073709551614 f v",
                "18446744073709551615-18446744073709551614",
            ),
            ("XADD s * f v", "18446744073709551615-18446744073709551615"),
            ("XADD s * f v", "ERR The stream has exhausted the last possible ID, unable to add more items"),
            ("XADD t 0-* f v", "0-1"),
            ("XADD none NOMKSTREAM * f v", "nil"),
            ("EXISTS none", "0"),
            ("XLEN s", "7"),
        ],
    );
}

#[test]
fn what_is_wrong_with_an_addition_is_told() {
    let mut db = filled();
    db.run("SET text x");
    assert_answers(
        &mut db,
        &[
            ("XADD s 0-0 f v", "ERR The ID specified in XADD must be greater than 0-0"),
            (
                "XADD s 5-7 f v",
                "ERR The ID specified in XADD is equal or smaller than the target stream top item",
            ),
            ("XADD s x f v", "ERR Invalid stream ID specified as stream command argument"),
            ("XADD s * f", "ERR wrong number of arguments for 'xadd' command"),
            ("XADD s * f v g", "ERR wrong number of arguments for 'xadd' command"),
            ("XADD s MAXLEN -1 * f v", "ERR The MAXLEN argument must be >= 0."),
            ("XADD s MAXLEN x * f v", "ERR value is not an integer or out of range"),
            (
                "XADD s MAXLEN 1 MINID 1 * f v",
                "ERR syntax error, MAXLEN and MINID options at the same time are not compatible",
            ),
            (
                "XADD s MAXLEN 1 LIMIT 1 * f v",
                "ERR syntax error, LIMIT cannot be used without the special ~ option",
            ),
            (
                "XADD s LIMIT 1 * f v",
                "ERR syntax error, LIMIT cannot be used without specifying a trimming strategy",
            ),
            ("XTRIM s MAXLEN 1 x", "ERR syntax error"),
            ("XTRIM s LIMIT 0", "ERR syntax error, XTRIM must be called with a trimming strategy"),
            ("XADD text * f v", "WRONGTYPE Operation against a key holding the wrong kind of value"),
            ("XLEN s", "4"),
        ],
    );
}

#[test]
fn ranges_are_answered_in_both_directions() {
    let mut db = filled();
    assert_answers(
        &mut db,
        &[
            ("XRANGE s - +", "[[1-1 [a 1 b 2]] [1-2 [a 3 b 4]] [2-0 [c x]] [5-7 [a 5 b 6]]]"),
            ("XREVRANGE s + - COUNT 2", "[[5-7 [a 5 b 6]] [2-0 [c x]]]"),
            ("XRANGE s (1-1 2", "[[1-2 [a 3 b 4]] [2-0 [c x]]]"),
            ("XRANGE s 1 1 COUNT 1", "[[1-1 [a 1 b 2]]]"),
            ("XRANGE s 5 1", "[]"),
            ("XRANGE s - + COUNT 0", "nil"),
            ("XRANGE none - + COUNT 0", "[]"),
            ("XRANGE s - + LIMIT 1", "ERR syntax error"),
            (
                "XRANGE s (18446744073709551615-18446744073709551615 +",
                "ERR invalid start ID for the interval",
            ),
            ("XREVRANGE s (0-0 -", "ERR invalid end ID for the interval"),
        ],
    );
}

#[test]
fn a_stream_stays_when_it_has_lost_its_entries() {
    let mut db = filled();
    assert_answers(
        &mut db,
        &[
            ("XDEL s 1-2 9-9 1-2", "1"),
            ("XTRIM s MAXLEN 2", "1"),
            ("XTRIM s MINID ~ 3", "0"),
            ("XTRIM s MINID = 3", "1"),
            ("XRANGE s - +", "[[5-7 [a 5 b 6]]]"),
            ("XDEL s 5-7", "1"),
            ("XLEN s", "0"),
            ("EXISTS s", "1"),
            ("TYPE s", "stream"),
            ("OBJECT ENCODING s", "stream"),
            (
                "XADD s 5-7 f v",
                "ERR The ID specified in XADD is equal or smaller than the target stream top item",
            ),
            ("XSETID s 5-6", "ERR The ID specified in XSETID is smaller than current max_deleted_entry_id"),
            ("XSETID s 9-9 ENTRIESADDED 100 MAXDELETEDID 6", "OK"),
            (
                "XINFO STREAM s",
                "[length 0 radix-tree-keys 0 radix-tree-nodes 1 last-generated-id 9-9 max-deleted-entry-id 6-0 entries-added 100 recorded-first-entry-id 0-0 groups 0 first-entry nil last-entry nil]",
            ),
        ],
    );
}

#[test]
fn reads_begin_behind_an_id() {
    let mut db = filled();
    assert_answers(
        &mut db,
        &[
            ("XREAD COUNT 1 STREAMS s 1-1", "[[s [[1-2 [a 3 b 4]]]]]"),
            ("XREAD STREAMS s none 2 0", "[[s [[5-7 [a 5 b 6]]]]]"),
            ("XREAD STREAMS s +", "[[s [[5-7 [a 5 b 6]]]]]"),
            ("XREAD STREAMS s $", "nil"),
            ("XREAD BLOCK 10 STREAMS s $", ""),
            (
                "XREAD STREAMS s >",
                "ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> <consumer> option.",
            ),
            (
                "XREAD STREAMS s t 0",
                "ERR Unbalanced 'xread' list of streams: for each stream key an ID or '$' must be specified.",
            ),
            (
                "XREAD GROUP g c STREAMS s 0",
                "ERR The GROUP option is only supported by XREADGROUP. You called XREAD instead.",
            ),
            ("XREAD BLOCK -1 STREAMS s 0", "ERR timeout is negative"),
            ("XREAD BLOCK x STREAMS s 0", "ERR timeout is not an integer or out of range"),
            ("XREAD COUNT 1 BLOCK 0", "ERR syntax error"),
        ],
    );
    let mut db = TestDb::resp3();
    db.run("XADD s 1-1 f v");
    assert_eq!(db.show("XREAD STREAMS s 0"), "{s [[1-1 [f v]]]}");
}

fn with_group() -> TestDb {
    let mut db = filled();
    assert_eq!(db.show("XGROUP CREATE s g 0"), "OK");
    db
}

#[test]
fn a_group_delivers_each_entry_once_and_keeps_it_until_it_is_acknowledged() {
    let mut db = with_group();
    assert_answers(
        &mut db,
        &[
            ("XREADGROUP GROUP g ada COUNT 2 STREAMS s >", "[[s [[1-1 [a 1 b 2]] [1-2 [a 3 b 4]]]]]"),
            ("XREADGROUP GROUP g bob STREAMS s >", "[[s [[2-0 [c x]] [5-7 [a 5 b 6]]]]]"),
            ("XREADGROUP GROUP g bob STREAMS s >", "nil"),
            ("XREADGROUP GROUP g bob BLOCK 5 STREAMS s >", ""),
            ("XPENDING s g", "[4 1-1 5-7 [[ada 2] [bob 2]]]"),
            ("XACK s g 1-1 2-0 9-9", "2"),
            ("XDEL s 1-2", "1"),
        ],
    );
    db.at(1_000_010);
    assert_answers(
        &mut db,
        &[
            ("XREADGROUP GROUP g ada STREAMS s 0", "[[s [[1-2 nil]]]]"),
            ("XREADGROUP GROUP g bob STREAMS s 0", "[[s [[5-7 [a 5 b 6]]]]]"),
            ("XPENDING s g - + 10", "[[1-2 ada 10 1] [5-7 bob 0 2]]"),
            ("XPENDING s g IDLE 5 - + 10", "[[1-2 ada 10 1]]"),
            ("XPENDING s g - + 10 bob", "[[5-7 bob 0 2]]"),
            ("XPENDING s g - + 10 eve", "[]"),
            ("XPENDING s none", "NOGROUP No such key 's' or consumer group 'none'"),
            (
                "XREADGROUP GROUP x c STREAMS s >",
                "NOGROUP No such key 's' or consumer group 'x' in XREADGROUP with GROUP option",
            ),
        ],
    );
}

#[test]
fn what_concerns_a_group_alone_is_no_change_that_is_watched() {
    let mut db = with_group();
    db.take_touched();
    for line in [
        "XREADGROUP GROUP g c STREAMS s >",
        "XACK s g 1-1",
        "XCLAIM s g d 0 1-2",
        "XGROUP CREATECONSUMER s g e",
    ] {
        db.run(line);
    }
    assert!(db.take_touched().is_empty());
    db.run("XGROUP DESTROY s g");
    assert_eq!(db.take_touched(), ["s"]);
}

#[test]
fn pending_entries_change_hands() {
    let mut db = with_group();
    db.run("XREADGROUP GROUP g ada STREAMS s >");
    db.run("XDEL s 1-2");
    db.at(1_000_100);
    assert_answers(
        &mut db,
        &[
            ("XCLAIM s g bob 200 1-1", "[]"),
            ("XCLAIM s g bob 50 1-1 1-2 7-7", "[[1-1 [a 1 b 2]]]"),
            ("XCLAIM s g bob 0 2-0 JUSTID RETRYCOUNT 7 IDLE 30", "[2-0]"),
            ("XPENDING s g - + 10", "[[1-1 bob 0 2] [2-0 bob 30 7] [5-7 ada 100 1]]"),
            ("XCLAIM s g bob 0 1-1 FOO", "ERR Unrecognized XCLAIM option 'FOO'"),
            ("XCLAIM s g bob x 1-1", "ERR Invalid min-idle-time argument for XCLAIM"),
            ("XACK s g 1-1", "1"),
            ("XCLAIM s g eve 0 1-1", "[]"),
            ("XCLAIM s g eve 0 1-1 FORCE", "[[1-1 [a 1 b 2]]]"),
            ("XDEL s 2-0", "1"),
            ("XAUTOCLAIM s g eve 0 0 COUNT 2", "[5-7 [[1-1 [a 1 b 2]]] [2-0]]"),
        ],
    );
}

#[test]
fn automatic_claims_go_on_where_they_ended() {
    let mut db = with_group();
    db.run("XREADGROUP GROUP g ada STREAMS s >");
    db.run("XDEL s 1-2");
    db.at(1_000_100);
    assert_answers(
        &mut db,
        &[
            ("XAUTOCLAIM s g bob 50 0 COUNT 2", "[2-0 [[1-1 [a 1 b 2]]] [1-2]]"),
            ("XAUTOCLAIM s g bob 50 2-0 JUSTID", "[0-0 [2-0 5-7] []]"),
            ("XAUTOCLAIM s g bob 50 0", "[0-0 [] []]"),
            ("XAUTOCLAIM s g bob 0 0 COUNT 0", "ERR COUNT must be > 0"),
            ("XAUTOCLAIM s none bob 0 0", "NOGROUP No such key 's' or consumer group 'none'"),
            (
                "XINFO CONSUMERS s g",
                "[[name ada pending 0 idle 100 inactive 100] [name bob pending 3 idle 0 inactive 0]]",
            ),
        ],
    );
}

#[test]
fn groups_are_made_changed_and_removed() {
    let mut db = filled();
    let no_key = "ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the MKSTREAM option to create an empty stream automatically.";
    assert_answers(
        &mut db,
        &[
            ("XGROUP CREATE none g $", no_key),
            ("XGROUP CREATE new g $ MKSTREAM", "OK"),
            ("XLEN new", "0"),
            ("XGROUP CREATE s g 1-2 ENTRIESREAD 2", "OK"),
            ("XGROUP CREATE s g 0", "BUSYGROUP Consumer Group name already exists"),
            (
                "XGROUP CREATE s h $ FOO",
                "ERR unknown subcommand or wrong number of arguments for 'CREATE'. Try XGROUP HELP.",
            ),
            ("XGROUP CREATE s h $ ENTRIESREAD -2", "ERR value for ENTRIESREAD must be positive or -1"),
            ("XINFO GROUPS s", "[[name g consumers 0 pending 0 last-delivered-id 1-2 entries-read 2 lag 2]]"),
            ("XGROUP SETID s g $", "OK"),
            (
                "XINFO GROUPS s",
                "[[name g consumers 0 pending 0 last-delivered-id 5-7 entries-read nil lag 0]]",
            ),
            ("XGROUP SETID s h $", "NOGROUP No such consumer group 'h' for key name 's'"),
            ("XGROUP CREATECONSUMER s g c", "1"),
            ("XGROUP CREATECONSUMER s g c", "0"),
            ("XGROUP DELCONSUMER s g c", "0"),
            ("XGROUP DESTROY s g", "1"),
            ("XGROUP DESTROY s g", "0"),
            ("XINFO STREAM none", "ERR no such key"),
            (
                "XINFO STREAM s BAR",
                "ERR unknown subcommand or wrong number of arguments for 'STREAM'. Try XINFO HELP.",
            ),
            ("XINFO CONSUMERS s g", "NOGROUP No such consumer group 'g' for key name 's'"),
        ],
    );
}

#[test]
fn full_information_has_groups_and_consumers() {
    let mut db = with_group();
    db.run("XREADGROUP GROUP g ada COUNT 2 STREAMS s >");
    db.run("XGROUP CREATECONSUMER s g bob");
    assert_eq!(
        db.show("XINFO STREAM s FULL COUNT 1"),
        "[length 4 radix-tree-keys 1 radix-tree-nodes 2 last-generated-id 5-7 max-deleted-entry-id 0-0 entries-added 4 \
         recorded-first-entry-id 1-1 entries [[1-1 [a 1 b 2]]] groups [[name g last-delivered-id 1-2 entries-read 2 lag 2 \
         pel-count 2 pending [[1-1 ada 1000000 1]] consumers [[name ada seen-time 1000000 active-time 1000000 pel-count 2 \
         pending [[1-1 1000000 1]]] [name bob seen-time 1000000 active-time -1 pel-count 0 pending []]]]]]"
    );
}

#[test]
fn a_stream_is_copied_dumped_and_renamed_with_its_groups() {
    let mut db = with_group();
    db.run("XREADGROUP GROUP g ada COUNT 2 STREAMS s >");
    let shown = db.show("XINFO STREAM s FULL");
    assert_eq!(db.show("COPY s {s}2"), "1");
    assert_eq!(db.show("XINFO STREAM {s}2 FULL"), shown);
    assert_eq!(db.show("RENAME {s}2 {s}3"), "OK");
    assert_eq!(db.show("XINFO STREAM {s}3 FULL"), shown);
    let dumped = db.run_args(&[b"DUMP", b"s"]);
    let start = dumped.iter().position(|byte| *byte == b'\n').expect("a header") + 1;
    let payload = &dumped[start..dumped.len() - 2];
    assert_eq!(db.run_args(&[b"RESTORE", b"{s}4", b"0", payload]), b"+OK\r\n");
    assert_eq!(db.show("XINFO STREAM {s}4 FULL"), shown);
    assert_eq!(db.show("XADD {s}4 6-0 a 1 b 2"), "6-0");
    assert_eq!(db.show("XACK {s}4 g 1-1"), "1");
    assert_eq!(db.show("XINFO STREAM s FULL"), shown);
}

#[test]
fn reads_cost_what_they_walk() {
    let mut db = TestDb::new();
    (1..=2000).for_each(|n| drop(db.run(&format!("XADD s {n}-0 f v"))));
    db.run("XGROUP CREATE s g 0");
    db.run("XREADGROUP GROUP g c COUNT 1000 STREAMS s >");
    let steps = |line: &str| {
        let args: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        db.cost(&args, &Default::default()).steps
    };
    for whole in [
        "XRANGE s - +",
        "XREVRANGE s + -",
        "XREAD STREAMS s 0",
        "XREADGROUP GROUP g c STREAMS s >",
        "XREADGROUP GROUP g c STREAMS s 0",
        "XPENDING s g IDLE 1 - + 1",
        "XPENDING s g - + 5000",
        "XAUTOCLAIM s g d 0 0 COUNT 1000",
        "XINFO STREAM s FULL COUNT 0",
        "XGROUP DELCONSUMER s g c",
        "DUMP s",
    ] {
        assert!(steps(whole) >= 900, "{whole}: {}", steps(whole));
    }
    for few in
        ["XRANGE s - + COUNT 1", "XREVRANGE s + - COUNT 1", "XPENDING s g", "XINFO STREAM s", "XACK s g 1-0"]
    {
        assert!(steps(few) < 2000, "{few}: {}", steps(few));
    }
}

/// A stream of Redis 5: of six entries one was deleted, `g1` read four, then all but two were trimmed; `g2` read none.
const OF_REDIS_5: &str = "\
0f011000000000000000010000000000000000c3404a40571657000000230002010401010184646174610500010301002001\
0381610204200a0001400a0062600a0002400a0063600a4022018164200a4039200a0065600a0005400a0066200a00ff0206\
0002026731050004000000000000000100000000000000003ef783437a01000001000000000000000200000000000000003e\
f783437a01000001000000000000000400000000000000003ef783437a01000001000000000000000500000000000000003e\
f783437a0100000101036331313ef783437a0100000400000000000000010000000000000000000000000000000200000000\
0000000000000000000000040000000000000000000000000000000500000000000000000267320000000009003d52ef6867\
521dfa";

#[test]
fn what_groups_have_read_of_an_old_stream_follows_from_their_last_ids() {
    let digits: Vec<u8> = OF_REDIS_5.bytes().filter(u8::is_ascii_hexdigit).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(&String::from_utf8_lossy(pair), 16).expect("two digits");
    let payload: Vec<u8> = digits.chunks(2).map(byte).collect();
    let mut db = TestDb::new();
    assert_eq!(db.run_args(&[b"RESTORE", b"s", b"0", &payload]), b"+OK\r\n");
    assert_answers(
        &mut db,
        &[(
            "XINFO GROUPS s",
            "[[name g1 consumers 1 pending 4 last-delivered-id 5-0 entries-read 1 lag 1] \
             [name g2 consumers 0 pending 0 last-delivered-id 0-0 entries-read 0 lag 2]]",
        )],
    );
}
