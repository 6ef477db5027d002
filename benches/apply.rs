//! Cost of applying one entry of 800 commands over 100,000 keys, nobody waiting for it: what a replica and a replay do.
//!
//! The keyspace is filled before anything is measured, and stays at its size.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use perdura::apply::Applier;
use perdura::command::context::Stamp;
use perdura::keyspace::Keyspace;
use perdura::keyspace::types::limits::TypeLimits;
use perdura::propose::entry::{write_header, write_single};

const KEYS: usize = 100_000;
const COMMANDS: usize = 800;
const VALUE: [u8; 64] = [b'x'; 64];

/// A command's arguments, from the number of its key.
type Make = fn(usize) -> Vec<Vec<u8>>;

fn words(line: String) -> Vec<Vec<u8>> {
    line.split(' ').map(|word| word.as_bytes().to_vec()).collect()
}

fn with_value(line: String) -> Vec<Vec<u8>> {
    let mut args = words(line);
    args.push(VALUE.to_vec());
    args
}

/// A run through all keys, in an order in which neighbours lie in different slots.
fn entries(make: Make) -> Vec<Vec<u8>> {
    let scattered: Vec<usize> = (0..KEYS).map(|nth| nth * 7919 % KEYS).collect();
    let entry = |keys: &[usize]| {
        let mut payload = Vec::new();
        write_header(&mut payload, Stamp { now_ms: 1, seed: 1 });
        for &key in keys {
            let args = make(key);
            let args: Vec<&[u8]> = args.iter().map(Vec::as_slice).collect();
            write_single(&mut payload, 0, &args);
        }
        payload
    };
    scattered.chunks_exact(COMMANDS).map(entry).collect()
}

fn apply_one(applier: &mut Applier, payload: &[u8]) {
    applier.apply_unattended(payload).expect("the entry is sound");
    applier.effects.executed.clear();
    applier.effects.garbage.clear();
}

fn apply(c: &mut Criterion) {
    let kinds: [(&str, Make, Make); 4] = [
        ("set", |n| with_value(format!("SET key:{n:012}")), |n| with_value(format!("SET key:{n:012}"))),
        (
            "hset",
            |n| with_value(format!("HSET key:{n:012} a")),
            |n| with_value(format!("HSET key:{n:012} b")),
        ),
        (
            "zadd",
            |n| words(format!("ZADD key:{n:012} 1 a 2 b")),
            |n| words(format!("ZADD key:{n:012} {} a", n % 4)),
        ),
        (
            "lpush and rpop",
            |n| with_value(format!("RPUSH key:{n:012} a b c d")),
            |n| match n % 2 {
                0 => with_value(format!("LPUSH key:{:012}", n / 2)),
                _ => words(format!("RPOP key:{:012}", n / 2)),
            },
        ),
    ];
    let mut group = c.benchmark_group("apply an entry of 800");
    group.sample_size(20).throughput(Throughput::Elements(COMMANDS as u64));
    for (name, fill, measured) in kinds {
        let mut applier = Applier::new(Keyspace::create().1, TypeLimits::default());
        entries(fill).iter().for_each(|payload| apply_one(&mut applier, payload));
        let payloads = entries(measured);
        let mut round = payloads.iter().cycle();
        group.bench_function(name, |b| {
            b.iter(|| apply_one(&mut applier, round.next().expect("a cycle never ends")));
        });
    }
}

criterion_group!(benches, apply);
criterion_main!(benches);
