//! What the kernel tells of the process and the machine.

use std::fs::read_to_string;

/// Seconds of processor time spent in the kernel and in the program; zero where the kernel does not tell.
pub(super) fn cpu_seconds() -> (f64, f64) {
    let stat = read_to_string("/proc/self/stat").unwrap_or_default();
    // The second field, the program's name in parentheses, may hold anything.
    let fields = stat.rsplit_once(')').map_or("", |(_, behind)| behind);
    let ticks = |nth: usize| -> f64 {
        fields.split_whitespace().nth(nth).and_then(|ticks| ticks.parse().ok()).unwrap_or(0.0)
    };
    let per_second = rustix::param::clock_ticks_per_second() as f64;
    (ticks(12) / per_second, ticks(11) / per_second)
}

/// A size as Redis shows it to people: `1.50K`, `2.00G`.
pub(super) fn human_bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["K", "M", "G", "T", "P"];
    if bytes < 1024 {
        return format!("{bytes}B");
    }
    let power = (bytes.ilog2() as usize / 10).min(UNITS.len());
    format!("{:.2}{}", bytes as f64 / f64::powi(1024.0, power as i32), UNITS[power - 1])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_short_for_people() {
        for (bytes, text) in
            [(0, "0B"), (1023, "1023B"), (1536, "1.50K"), (2 << 30, "2.00G"), (u64::MAX, "16384.00P")]
        {
            assert_eq!(human_bytes(bytes), text);
        }
    }

    #[test]
    fn the_kernel_tells_of_this_process() {
        let (system, user) = cpu_seconds();
        assert!(system >= 0.0 && user >= 0.0);
    }
}
