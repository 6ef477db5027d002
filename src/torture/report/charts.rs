//! The report's drawings: SVG that takes its colours from the page.
//!
//! Coordinates are in units of a view box that the browser scales to the width of the page.

use std::fmt::Write;

use super::page::escape;
use crate::torture::fault::FaultKind;
use crate::torture::nemesis::FaultRecord;
use crate::torture::progress::describe;
use crate::torture::series::{Point, Series};

const WIDTH: f64 = 1000.0;
const LEFT: f64 = 62.0;
const RIGHT: f64 = 24.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 26.0;
const HEIGHT: f64 = 240.0;
/// Of one row of the strip of outages.
const ROW: f64 = 26.0;
const STRIP_LEFT: f64 = 150.0;
const STRIP_RIGHT: f64 = 120.0;

/// The plane of a chart over time.
struct Plane {
    end_us: f64,
    svg: String,
}

impl Plane {
    fn new(series: &Series, title: &str, faults: &[FaultRecord]) -> Plane {
        let end_us = (series.points.len() as u64 * series.step_us).max(1) as f64;
        let svg =
            format!("<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">\n", escape(title));
        let mut plane = Plane { end_us, svg };
        plane.bands(faults);
        plane.time_axis();
        plane
    }

    fn x(&self, us: f64) -> f64 {
        LEFT + (WIDTH - LEFT - RIGHT) * (us / self.end_us).min(1.0)
    }

    /// The faults, from beginning to recovery.
    fn bands(&mut self, faults: &[FaultRecord]) {
        for fault in faults {
            let begin = self.x(fault.begun_us as f64);
            let end = self.x(fault.recovered_us.map_or(self.end_us, |us| us as f64));
            let group = fault.kind.info().group;
            self.put(format_args!(
                "<rect class=\"band g-{group}\" x=\"{begin:.1}\" y=\"{TOP}\" width=\"{:.1}\" height=\"{:.1}\">\
                 <title>{}</title></rect>",
                (end - begin).max(1.0),
                HEIGHT - TOP - BOTTOM,
                escape(describe(fault).trim()),
            ));
        }
    }

    fn time_axis(&mut self) {
        let seconds = self.end_us / 1e6;
        let step = time_step(seconds / 12.0);
        let mut at = 0.0;
        while at <= seconds {
            let x = self.x(at * 1e6);
            let y = HEIGHT - 8.0;
            self.put(format_args!(
                "<text class=\"tick\" x=\"{x:.1}\" y=\"{y}\" text-anchor=\"middle\">{}</text>",
                clock_text(at)
            ));
            at += step;
        }
    }

    /// A horizontal line with its value; `share` counts from the bottom.
    fn level(&mut self, share: f64, text: &str) {
        let y = height_of(share);
        let (end, label_x, label_y) = (WIDTH - RIGHT, LEFT - 8.0, y + 4.0);
        self.put(format_args!(
            "<line class=\"grid\" x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{end}\" y2=\"{y:.1}\"/>\
             <text class=\"tick\" x=\"{label_x}\" y=\"{label_y:.1}\" text-anchor=\"end\">{}</text>",
            escape(text)
        ));
    }

    /// A curve through the middles of the stretches; it is broken where there is nothing to show.
    fn curve(&mut self, class: &str, series: &Series, share: impl Fn(&Point) -> Option<f64>) {
        let mut path = String::new();
        let mut is_drawing = false;
        for (at, point) in series.points.iter().enumerate() {
            let Some(share) = share(point) else {
                is_drawing = false;
                continue;
            };
            let x = self.x((at as f64 + 0.5) * series.step_us as f64);
            let command = if is_drawing { 'L' } else { 'M' };
            // Writing to a String does not fail.
            let _ = write!(path, "{command}{x:.1} {:.1}", height_of(share));
            is_drawing = true;
        }
        self.put(format_args!("<path class=\"curve {class}\" d=\"{path}\"/>"));
    }

    fn put(&mut self, element: std::fmt::Arguments<'_>) {
        // As above.
        let _ = writeln!(self.svg, "{element}");
    }

    fn finish(mut self) -> String {
        self.svg.push_str("</svg>\n");
        self.svg
    }
}

/// Operations a second: answered, failed, in doubt.
pub fn throughput(series: &Series, faults: &[FaultRecord]) -> String {
    let mut plane = Plane::new(series, "Operations per second over time", faults);
    let seconds = series.step_us as f64 / 1e6;
    let rate = |count: u32| f64::from(count) / seconds;
    let most =
        series.points.iter().map(|point| rate(point.acknowledged.max(point.failed))).fold(1.0, f64::max);
    let step = nice_step(most / 4.0);
    let top = (most / step).ceil() * step;
    let mut level = 0.0;
    while level <= top {
        plane.level(level / top, &format!("{level:.0}"));
        level += step;
    }
    plane.curve("good", series, |point| Some(rate(point.acknowledged) / top));
    plane.curve("doubt", series, |point| Some(rate(point.in_doubt) / top));
    plane.curve("bad", series, |point| Some(rate(point.failed) / top));
    plane.finish()
}

/// Median and 99th percentile of the latency, on a logarithmic scale.
pub fn latency(series: &Series, faults: &[FaultRecord]) -> String {
    let mut plane = Plane::new(series, "Latency over time", faults);
    let all = || series.points.iter().flat_map(|point| [point.p50_us, point.p99_us]).flatten();
    let least = decade_below(all().min().unwrap_or(100) as f64);
    let most = 10.0 * decade_below(all().max().unwrap_or(1000) as f64);
    let share = |us: f64| (us.max(least) / least).log10() / (most / least).log10();
    let mut level = least;
    while level <= most {
        plane.level(share(level), &duration_text(level));
        level *= 10.0;
    }
    plane.curve("p50", series, |point| point.p50_us.map(|us| share(us as f64)));
    plane.curve("p99", series, |point| point.p99_us.map(|us| share(us as f64)));
    plane.finish()
}

/// Each fault's time without writes as a dot, a row for each kind, on a logarithmic scale.
pub fn outages(faults: &[FaultRecord], outages: &[crate::torture::summary::Outage]) -> String {
    let height = TOP + ROW * outages.len() as f64 + BOTTOM;
    let (least, most) = scale_of(faults);
    let x = |ms: f64| {
        let share = (ms.max(least) / least).log10() / (most / least).log10();
        STRIP_LEFT + (WIDTH - STRIP_LEFT - STRIP_RIGHT) * share
    };
    let mut svg = format!(
        "<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"Time without writes by kind of fault\">\n"
    );
    let mut level = least;
    while level <= most {
        // Writing to a String does not fail, here and below.
        let _ = writeln!(
            svg,
            "<line class=\"grid\" x1=\"{0:.1}\" y1=\"{TOP}\" x2=\"{0:.1}\" y2=\"{1:.1}\"/>\
             <text class=\"tick\" x=\"{0:.1}\" y=\"{2:.1}\" text-anchor=\"middle\">{3}</text>",
            x(level),
            height - BOTTOM,
            height - 8.0,
            duration_text(level * 1000.0),
        );
        level *= 10.0;
    }
    for (row, outage) in outages.iter().enumerate() {
        let y = TOP + ROW * (row as f64 + 0.5);
        let _ = writeln!(
            svg,
            "<text class=\"row\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            STRIP_LEFT - 12.0,
            y + 4.0,
            outage.fault
        );
        for fault in faults.iter().filter(|fault| fault.kind.name() == outage.fault) {
            svg.push_str(&dot(fault, x(fault.unavailable_us as f64 / 1000.0), y));
        }
        let _ = writeln!(
            svg,
            "<line class=\"p99mark\" x1=\"{0:.1}\" y1=\"{1:.1}\" x2=\"{0:.1}\" y2=\"{2:.1}\"/>\
             <text class=\"tick\" x=\"{3:.1}\" y=\"{4:.1}\">p99 {5}</text>",
            x(outage.p99_ms),
            y - 9.0,
            y + 9.0,
            WIDTH - STRIP_RIGHT + 14.0,
            y + 4.0,
            duration_text(outage.p99_ms * 1000.0),
        );
    }
    svg.push_str("</svg>\n");
    svg
}

fn dot(fault: &FaultRecord, x: f64, y: f64) -> String {
    let group = FaultKind::info(fault.kind).group;
    format!(
        "<circle class=\"dot g-{group}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"5\"><title>{}</title></circle>\n",
        escape(describe(fault).trim())
    )
}

/// Ends of the scale in ms: powers of ten.
fn scale_of(faults: &[FaultRecord]) -> (f64, f64) {
    let ms = || faults.iter().map(|fault| fault.unavailable_us as f64 / 1000.0);
    let least = decade_below(ms().fold(f64::MAX, f64::min).clamp(1.0, 1000.0));
    let most = 10.0 * decade_below(ms().fold(10.0, f64::max));
    (least, most)
}

/// A height for a share of the plane from 0 to 1.
fn height_of(share: f64) -> f64 {
    HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share.clamp(0.0, 1.0)
}

fn decade_below(value: f64) -> f64 {
    10f64.powf(value.max(1.0).log10().floor())
}

/// 1, 2 or 5 times a power of ten, no less than `least`.
fn nice_step(least: f64) -> f64 {
    let decade = decade_below(least.max(1.0));
    [1.0, 2.0, 5.0, 10.0]
        .map(|factor| factor * decade)
        .into_iter()
        .find(|step| *step >= least)
        .unwrap_or(decade)
}

/// Seconds between two marks of the time axis: a step that clocks have, no less than `least`.
fn time_step(least: f64) -> f64 {
    let steps = [1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0];
    steps.into_iter().find(|step| *step >= least).unwrap_or(3600.0 * (least / 3600.0).ceil())
}

fn clock_text(seconds: f64) -> String {
    format!("{}:{:02}", seconds as u64 / 60, seconds as u64 % 60)
}

/// A time in µs with the unit that suits it.
pub fn duration_text(us: f64) -> String {
    match us {
        _ if us >= 1e6 => format!("{} s", short(us / 1e6)),
        _ if us >= 1e3 => format!("{} ms", short(us / 1e3)),
        _ => format!("{us:.0} µs"),
    }
}

fn short(value: f64) -> String {
    let text = match value {
        _ if value >= 100.0 => format!("{value:.0}"),
        _ if value >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    };
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_the_unit_that_suits_them() {
        let texts = [15.0, 1500.0, 100_000.0, 1_234_567.0, 60e6].map(duration_text);
        assert_eq!(texts, ["15 µs", "1.5 ms", "100 ms", "1.23 s", "60 s"]);
        assert_eq!(clock_text(605.0), "10:05");
    }

    #[test]
    fn steps_are_round() {
        assert_eq!([0.1, 3.0, 50.0, 700.0, 4000.0].map(time_step), [1.0, 5.0, 60.0, 1800.0, 7200.0]);
        assert_eq!([0.3, 1.0, 3.0, 12.0, 70.0].map(nice_step), [1.0, 1.0, 5.0, 20.0, 100.0]);
    }
}
