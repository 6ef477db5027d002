//! What the kernel tells of the process and the machine.

use std::fs::read_to_string;

/// Seconds of processor time spent in the kernel and in the program: by the process, by children that it has waited for, and by its first
/// thread. Zero where the kernel does not tell.
pub(super) fn cpu_seconds() -> [(f64, f64); 3] {
    const USER: usize = 11;
    const CHILDREN: usize = 13;
    let own = read_to_string("/proc/self/stat").unwrap_or_default();
    let main = read_to_string(format!("/proc/self/task/{}/stat", std::process::id())).unwrap_or_default();
    [times(&own, USER), times(&own, CHILDREN), times(&main, USER)]
}

/// The field of the program's time is followed by that of the kernel's.
fn times(stat: &str, user: usize) -> (f64, f64) {
    // The second field, the program's name in parentheses, may hold anything.
    let fields = stat.rsplit_once(')').map_or("", |(_, after)| after);
    let ticks = |nth: usize| -> f64 {
        fields.split_whitespace().nth(nth).and_then(|ticks| ticks.parse().ok()).unwrap_or(0.0)
    };
    let per_second = rustix::param::clock_ticks_per_second() as f64;
    (ticks(user + 1) / per_second, ticks(user) / per_second)
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
        let [own, children, main] = cpu_seconds();
        assert!(own.0 >= main.0 && own.1 >= 0.0 && children.0 >= 0.0);
        let stat = "7 (a ) b) S 1 2 3 4 5 6 7 8 9 10 300 200 50 40";
        let per_second = rustix::param::clock_ticks_per_second() as f64;
        assert_eq!(times(stat, 11), (200.0 / per_second, 300.0 / per_second));
        assert_eq!(times(stat, 13), (40.0 / per_second, 50.0 / per_second));
    }
}
