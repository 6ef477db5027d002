//! Seeds that once found something in our own code, with what it was. They run for ever.
//!
//! A simulation that does more plays older seeds differently, so that most no longer come to what they are kept for. Where that
//! matters a planted bug stands for the mistake, and has to be found.

use crate::runner::run_seed;

struct Found {
    seed: u64,
    what: &'static str,
}

const FOUND: &[Found] = &[
    Found {
        seed: 216,
        what: "A replica went back in time when it was restarted: it answered READONLY reads as soon as it had applied what its \
               disk knew to be committed, which lags behind what it had applied before.",
    },
    Found { seed: 623, what: "The same, on a register." },
    Found { seed: 10_000_032, what: "The same, in the simulation whose nodes take checkpoints." },
    Found {
        seed: 10_000_448,
        what: "The first cure of it: such reads were sent on to the primary, whose answers were newer than the replica's next.",
    },
    Found {
        seed: 10_001_303,
        what: "A leader met a flipped bit while it read entries for a follower: the raft crate panicked where the node should \
               have ended with the file, the offset and the checksums.",
    },
    Found {
        seed: 10_001_532,
        what: "A sync failed, and the restarted node recovered its log from the medium but read it through the page cache, which \
               still showed what the disk had lost: it took its own log for damaged.",
    },
    Found {
        seed: 70_000_912,
        what: "A key that an isolated primary had shown dead was alive again on the next, whose calendar was behind: reads went \
               by the clock alone.",
    },
    Found {
        seed: 71_000_375,
        what: "A heartbeat to a log that was lost came after all had taken note of the new one: its member, which was still learning, \
               took the new log for cut short and ended.",
    },
    Found {
        seed: 81_001_130,
        what: "A member of two that had lost its disk waited for a commit before it was whole, and its log was the longer one: it refused \
               the other's candidacy and had none of its own, for ever.",
    },
    Found {
        seed: 31_000_278,
        what: "A follower whose disk was full went on behind a checkpoint that it had fetched before: its log had no room for that, \
               and the node ended.",
    },
    Found {
        seed: 32_002_699,
        what: "A restarted node heard first of a member's new log, and then a late frame of the lost one, which it took for newer \
               still: it was deaf to that member from then on.",
    },
    Found {
        seed: 34_009_078,
        what: "A node that restarted while another learned what it had lost heard first a late frame of the lost log, which it took \
               for the present one: nobody announced the new log any more, and it was deaf to it from then on.",
    },
    Found {
        seed: 34_006_090,
        what: "The disk was full, and then what prepares the log's segments failed: the node was deaf to other terms for want of \
               room, and neither tried again nor ended.",
    },
    Found {
        seed: 34_000_030,
        what: "A checkpoint's manifest was paid for at the longest that it may be, so that at a slow pace a few kilobytes took \
               half a minute.",
    },
    Found {
        seed: 34_009_947,
        what: "Nothing of ours: behind a slow disk a turn's frames left up to a minute late, when the turn had long been over.",
    },
    Found {
        seed: 81_000_982,
        what: "A driver stalled for three seconds between taking its turn's time and gathering. A read that came meanwhile was judged by \
               that time, and saw a value two seconds after its deadline.",
    },
    Found {
        seed: 72_000_851,
        what: "Nothing of ours: the client that opens a bank gave up too early, and its MSET, which came late, undid what others had \
               transferred meanwhile. It is MSETNX now.",
    },
    Found {
        seed: 85_000_832,
        what: "On a full disk a read told of a death that no entry could have; then the node's calendar was set back, and a later read \
               showed the key alive again.",
    },
    Found {
        seed: 84_000_029,
        what: "A member of a group of two lost its disk and was whole once its new log reached as far as it was told. It had not \
               applied all of that, and replica reads showed less than it had shown with its lost log.",
    },
    Found {
        seed: 84_000_802,
        what: "A full segment had a sector after its end that could not be read. It was recycled, and the log was refused for that sector \
               once the file was its last segment.",
    },
    Found {
        seed: 90_004_172,
        what: "A member that had not heard of its cluster remembered the new log of another member, which had lost its disk, in memory only. It \
               was killed and forgot that log, was deaf to it from then on, and the group stood still.",
    },
    Found {
        seed: 90_001_257,
        what: "A member of a newborn group that had not heard of its cluster took a stray in the primary's place for its own: they were a \
               majority, and replaced what the group had committed.",
    },
    Found {
        seed: 90_001_235,
        what: "The same: the stray and a member that was restarted, whose only entry was not known to be committed.",
    },
    Found {
        seed: 90_012_965,
        what: "The same: a member that knew better ended, as the stray lacked what was committed.",
    },
    Found {
        seed: 94_008_534,
        what: "A follower whose disk had held it up for 15 s answered a hundred heartbeats at once, and each answer made the leader send it \
               the same megabyte again: over its link they took longer than a minute.",
    },
];

#[test]
fn what_was_found_once_is_not_found_again() {
    for Found { seed, what } in FOUND {
        let run = run_seed(*seed, false);
        assert!(run.findings.is_empty(), "seed {seed} ({what}): {}", run.findings.join("\n"));
    }
}
