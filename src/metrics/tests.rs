//! Stories of counting: on several threads, across a reset, and as Prometheus sees it.

use std::time::Duration;

use super::*;

fn metrics() -> Arc<Metrics> {
    Metrics::new(Clock::manual(0).0, vec!["get".to_owned(), "set".to_owned()])
}

#[test]
fn threads_count_for_themselves_and_readers_add_up() {
    let metrics = metrics();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            let lane = metrics.lane();
            scope.spawn(move || (0..1000).for_each(|_| lane.command(1, 3, Outcome::Done)));
        }
    });
    let totals = metrics.totals();
    assert_eq!(totals.calls, 4000);
    let [(name, set)] = totals.commands.as_slice() else { panic!("only one was called") };
    assert_eq!((name.as_str(), set.calls, set.micros, set.latencies.count()), ("set", 4000, 12_000, 4000));
}

#[test]
fn a_refused_command_is_no_call() {
    let metrics = metrics();
    let lane = metrics.lane();
    lane.command(0, 0, Outcome::Rejected);
    lane.command(0, 5, Outcome::Failed);
    lane.command(99, 5, Outcome::Done);
    let totals = metrics.totals();
    let get = &totals.commands[0].1;
    assert_eq!((totals.calls, get.calls, get.failed, get.rejected), (1, 1, 1, 1));
}

#[test]
fn a_reset_moves_the_start_for_info_and_not_for_prometheus() {
    let metrics = metrics();
    let lane = metrics.lane();
    lane.command(0, 7, Outcome::Done);
    lane.received(100);
    metrics.error("ERR");
    metrics.reset(&[]);
    assert_eq!(metrics.totals(), Totals::default());
    assert!(metrics.errors().is_empty());
    lane.command(0, 9, Outcome::Done);
    assert_eq!(metrics.totals().commands[0].1.micros, 9);
    let text = metrics.expose().expect("it can be written");
    assert!(text.contains("perdura_commands_total{command=\"get\"} 2"), "{text}");
    assert!(text.contains("perdura_net_input_bytes_total 100"));
}

#[test]
fn kinds_of_errors_are_bounded() {
    let metrics = metrics();
    (0..10_000).for_each(|code| metrics.error(&format!("E{code}")));
    let errors = metrics.errors();
    assert!(errors.len() <= MAX_ERROR_CODES + 1);
    assert_eq!(errors.iter().map(|(_, count)| count).sum::<u64>(), 10_000);
    metrics.reset(&[]);
    metrics.error(&"E".repeat(1 << 20));
    assert!(metrics.errors()[0].0.len() < 100);
    OWN_ERRORS.iter().for_each(|code| metrics.error(code));
    let errors = metrics.errors();
    assert!(OWN_ERRORS.iter().all(|own| errors.contains(&((*own).to_owned(), 1))), "{errors:?}");
}

#[test]
fn rates_are_of_the_last_seconds() {
    let (clock, hands) = Clock::manual(0);
    let metrics = Metrics::new(clock, vec!["get".to_owned()]);
    let lane = metrics.lane();
    metrics.sample();
    assert_eq!(metrics.rates().commands, 0.0);
    for _ in 0..20 {
        (0..50).for_each(|_| lane.command(0, 1, Outcome::Done));
        hands.advance(Duration::from_secs(1));
        metrics.sample();
    }
    assert_eq!(metrics.rates().commands, 50.0);
}

#[test]
fn prometheus_sees_every_group_of_metrics_once() {
    let metrics = metrics();
    metrics.raft.set_role("leader");
    metrics.raft.set_follower_lags([(2, 5), (3, 0)]);
    metrics.log.sync_seconds.observe(0.000_2);
    metrics.count_keys_by(|| vec![DatabaseKeys { database: 3, keys: 7, with_deadline: 2 }]);
    let text = metrics.expose().expect("it can be written");
    for line in [
        "perdura_raft_role{role=\"leader\"} 1",
        "perdura_raft_role{role=\"follower\"} 0",
        "perdura_raft_follower_lag_entries{peer=\"2\"} 5",
        "perdura_log_sync_seconds_count 1",
        "perdura_keys{database=\"3\"} 7",
        "perdura_uptime_seconds 0",
    ] {
        assert!(text.lines().any(|other| other == line), "{line} is missing in\n{text}");
    }
    let mut helps: Vec<&str> = text.lines().filter(|line| line.starts_with("# HELP")).collect();
    let all = helps.len();
    helps.dedup();
    helps.sort_unstable();
    helps.dedup();
    assert_eq!(helps.len(), all);
    assert!(text.ends_with("# EOF\n") && text.matches("# EOF").count() == 1);
    metrics.raft.set_follower_lags([]);
    assert!(!metrics.expose().expect("it can be written").contains("peer=\"2\""));
}
