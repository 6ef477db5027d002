//! The text for Prometheus: the registry's metrics, then those that are summed up when one asks.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use super::{CommandTotals, DatabaseKeys, Memory, Metrics, Totals, memory};
use crate::version;

pub(super) fn expose(metrics: &Metrics) -> Result<String, fmt::Error> {
    let mut out = String::with_capacity(16 << 10);
    text::encode_registry(&mut out, &metrics.registry)?;
    let mut summed = Registry::with_prefix("perdura");
    summed.register_collector(Box::new(Snapshot::of(metrics)));
    text::encode_registry(&mut out, &summed)?;
    text::encode_eof(&mut out)?;
    Ok(out)
}

/// What is summed up for one scrape.
#[derive(Debug)]
struct Snapshot {
    totals: Totals,
    keys: Vec<DatabaseKeys>,
    errors: Vec<(String, u64)>,
    memory: Memory,
    uptime_s: u64,
}

impl Snapshot {
    fn of(metrics: &Metrics) -> Snapshot {
        Snapshot {
            totals: metrics.lanes.sum(),
            keys: metrics.keys(),
            errors: metrics.errors(),
            memory: memory(),
            uptime_s: metrics.uptime_s(),
        }
    }

    fn process(&self, to: &mut Writer<'_>) -> fmt::Result {
        to.gauge("uptime_seconds", "Time since the start", self.uptime_s)?;
        to.gauge("memory_allocated_bytes", "Memory handed out by the allocator", self.memory.allocated)?;
        to.gauge("memory_active_bytes", "Memory in pages that the allocator uses", self.memory.active)?;
        to.gauge("memory_resident_bytes", "Memory resident in the machine", self.memory.resident)?;
        let build = [("version", version::VERSION), ("commit", version::COMMIT)];
        to.gauges("build_info", "1, with version and commit as labels", [(build, 1)])
    }

    fn traffic(&self, to: &mut Writer<'_>) -> fmt::Result {
        to.counter("net_input_bytes", "Bytes received from clients", self.totals.input_bytes)?;
        to.counter("net_output_bytes", "Bytes sent to clients", self.totals.output_bytes)?;
        to.counter("keyspace_hits", "Lookups of keys by reads that found one", self.totals.hits)?;
        to.counter("keyspace_misses", "Lookups of keys by reads that found none", self.totals.misses)
    }

    fn commands(&self, to: &mut Writer<'_>) -> fmt::Result {
        let each = |number: fn(&CommandTotals) -> f64| {
            self.totals
                .commands
                .iter()
                .map(move |(name, totals)| ([("command", name.as_str())], number(totals)))
        };
        to.counters("commands", "Commands that ran, by name", each(|c| c.calls as f64))?;
        to.counters("commands_duration_seconds", "Time that commands took", each(|c| c.micros as f64 / 1e6))?;
        to.counters("commands_failed", "Commands that answered with an error", each(|c| c.failed as f64))?;
        to.counters("commands_rejected", "Commands refused before they ran", each(|c| c.rejected as f64))
    }

    fn errors(&self, to: &mut Writer<'_>) -> fmt::Result {
        let errors = self.errors.iter().map(|(code, count)| ([("code", code.as_str())], *count as f64));
        to.counters("errors", "Error replies by their first word", errors)
    }

    fn keys(&self, to: &mut Writer<'_>) -> fmt::Result {
        let each = |number: fn(&DatabaseKeys) -> u64| {
            self.keys.iter().map(move |keys| ([("database", keys.database)], number(keys)))
        };
        to.gauges("keys", "Keys in a database", each(|keys| keys.keys))?;
        to.gauges(
            "keys_with_deadline",
            "Keys in a database that will expire",
            each(|keys| keys.with_deadline),
        )
    }
}

impl Collector for Snapshot {
    fn encode(&self, encoder: DescriptorEncoder) -> fmt::Result {
        let to = &mut Writer(encoder);
        self.process(to)?;
        self.traffic(to)?;
        self.commands(to)?;
        self.errors(to)?;
        self.keys(to)
    }
}

/// Declares a metric and writes its numbers.
struct Writer<'a>(DescriptorEncoder<'a>);

impl Writer<'_> {
    fn gauge(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        let encoder = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        ConstGauge::new(value).encode(encoder)
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        let encoder = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        ConstCounter::new(value).encode(encoder)
    }

    fn gauges<L: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (L, u64)>,
    ) -> fmt::Result {
        let mut encoder = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (labels, value) in values {
            ConstGauge::new(value).encode(encoder.encode_family(&labels)?)?;
        }
        Ok(())
    }

    fn counters<L: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (L, f64)>,
    ) -> fmt::Result {
        let mut encoder = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (labels, value) in values {
            ConstCounter::new(value).encode(encoder.encode_family(&labels)?)?;
        }
        Ok(())
    }
}
