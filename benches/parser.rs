//! Cost of one parsed request, beside redis-protocol's decoder on the same bytes.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use perdura::protocol::request::{Parse, RequestLimits, RequestParser};
use redis_protocol::resp2::decode::decode;

fn wire(args: &[&[u8]]) -> Vec<u8> {
    let mut out = format!("*{}\r\n", args.len()).into_bytes();
    for arg in args {
        out.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
        out.extend_from_slice(arg);
        out.extend_from_slice(b"\r\n");
    }
    out
}

/// Parses every request of `buf`; the sum of first-argument lengths keeps the arguments alive.
fn parse_all(parser: &mut RequestParser, mut buf: &[u8], limits: &RequestLimits) -> usize {
    let mut total = 0;
    while let Parse::Command { consumed } = parser.parse(buf, limits) {
        total += parser.args().iter(buf).map(<[u8]>::len).sum::<usize>();
        buf = &buf[consumed..];
    }
    total
}

fn parser(c: &mut Criterion) {
    let limits = RequestLimits::default();
    let set = wire(&[b"SET", b"key:000000000001", &[b'x'; 64]]);
    let hset = wire(&[&b"field-or-value"[..]; 22]);
    let requests = [
        ("set", set.clone(), 1),
        ("get", wire(&[b"GET", b"key:000000000001"]), 1),
        ("set pipelined by 16", set.repeat(16), 16),
        ("hset of ten fields", hset, 1),
        ("inline set", b"SET key:000000000001 value\r\n".to_vec(), 1),
    ];
    let mut group = c.benchmark_group("request");
    for (name, bytes, count) in requests {
        group.throughput(Throughput::Elements(count));
        let mut parser = RequestParser::new();
        group.bench_function(name, |b| {
            b.iter(|| parse_all(&mut parser, black_box(&bytes), &limits));
        });
    }
    group.throughput(Throughput::Elements(1));
    group.bench_function("set by redis-protocol", |b| b.iter(|| decode(black_box(&set))));
    group.finish();
}

criterion_group!(benches, parser);
criterion_main!(benches);
