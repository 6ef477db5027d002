use super::*;
use crate::torture::fault::FaultKind;
use crate::torture::pauses::Pause;
use crate::torture::place::Place;
use crate::torture::series::Point;
use crate::torture::summary::{Operations, Settings, Skipped, outages};

fn summary(faults: &[FaultRecord]) -> Summary {
    Summary {
        verdict: Verdict::Failed,
        reasons: vec!["durability: FAILED".to_owned()],
        started_unix_ms: 0,
        seconds: 3.0,
        settings: Settings {
            system: "Redis <7>".to_owned(),
            nodes: vec!["127.0.0.1:1".to_owned()],
            faults: vec!["kill-primary"],
            workloads: vec!["bank".to_owned()],
            seed: 7,
            minutes: 0.05,
            rate: 10,
            clients: 2,
            link_delay_ms: 1,
            harness_version: "0",
            command: "perdura torture --seed 7 '--dir=<a>'".to_owned(),
            place: Place { cores: 2, ..Place::default() },
        },
        checks: vec![CheckLine {
            name: "durability".to_owned(),
            status: Status::Failed,
            scope: "5 operations".to_owned(),
            findings: 1234,
            explanations: vec!["<script>alert(\"& 'x'\")</script>\u{7}".to_owned()],
        }],
        operations: Operations::default(),
        operations_per_second: 0.0,
        write_latency: Latency::default(),
        read_latency: Latency::default(),
        faults: faults.len(),
        failovers: 0,
        outages: outages(faults),
        skipped: Vec::new(),
        never_came: vec![Skipped { faults: vec!["full-disk"], why: "it needs <root>".to_owned() }],
        worst_pause: Some(Pause { client: 1, from_s: 1.5, ms: 900.0 }),
    }
}

fn fault(recovered_us: Option<u64>) -> FaultRecord {
    FaultRecord {
        number: 1,
        kind: FaultKind::KillPrimary,
        nodes: vec![1],
        primary_before: Some(1),
        primary_after: None,
        begun_us: 1_000_000,
        ended_us: 2_000_000,
        recovered_us,
        unavailable_us: 900_000,
        served_after_end_us: Some(30_000),
        notes: vec!["a < b".to_owned()],
    }
}

fn series() -> Series {
    let quiet = Point { failed: 3, ..Point::default() };
    let busy = Point { acknowledged: 9, p50_us: Some(100), p99_us: Some(90_000), ..Point::default() };
    Series { step_us: 1_000_000, points: vec![busy, quiet, busy] }
}

/// Every element that is opened is closed, in order; attributes are quoted.
fn check_well_formed(page: &str) {
    let mut open: Vec<&str> = Vec::new();
    let mut rest = page.strip_prefix("<!DOCTYPE html>").expect("a document type");
    while let Some(at) = rest.find('<') {
        assert!(!rest[..at].contains('>'), "a stray > in {:?}", &rest[..at]);
        let end = at + rest[at..].find('>').expect("a tag has an end");
        let tag = &rest[at + 1..end];
        assert!(tag.matches('"').count().is_multiple_of(2), "{tag}");
        let name = |tag: &str| tag.split_whitespace().next().map(str::len).unwrap_or(0);
        match tag.strip_prefix('/') {
            Some(closing) => assert_eq!(open.pop(), Some(closing), "before {:?}", &rest[end..]),
            None if tag.ends_with('/') => {}
            None => open.push(&tag[..name(tag)]),
        }
        rest = &rest[end + 1..];
        if open.last() == Some(&"style") {
            rest = &rest[rest.find("</style>").expect("the style ends")..];
        }
    }
    assert!(open.is_empty(), "{open:?} stay open");
}

#[test]
fn the_page_is_well_formed_and_asks_for_nothing_from_outside() {
    for faults in [vec![], vec![fault(Some(2_500_000)), fault(None)]] {
        let page = page(&summary(&faults), &faults, &series());
        check_well_formed(&page);
        for outside in ["http", "url(", "@import", "<script", "src="] {
            assert!(!page.contains(outside), "{outside}");
        }
    }
}

#[test]
fn what_was_found_is_shown_and_escaped() {
    let page = page(&summary(&[]), &[], &Series::default());
    check_well_formed(&page);
    assert!(page.contains("&lt;script&gt;alert(&quot;&amp; &#39;x&#39;&quot;)&lt;/script&gt;\u{fffd}"));
    assert!(page.contains("Redis &lt;7&gt;"));
    assert!(page.contains("Acknowledged writes were lost"));
    for part in ["Proves: ", "Can't see: ", "Faults that never came", "full-disk", "To repeat it", "--seed 7"]
    {
        assert!(page.contains(part), "{part}");
    }
    assert!(page.contains("1\u{202f}234"));
}

#[test]
fn thousands_are_kept_apart() {
    assert_eq!(
        [0, 999, 1000, 1_234_567].map(grouped).join("|"),
        "0|999|1\u{202f}000|1\u{202f}234\u{202f}567"
    );
}
