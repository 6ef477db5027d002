//! How many elements registers tell of.
//!
//! Source: Otmar Ertl, New cardinality estimation algorithms for HyperLogLog sketches, <https://arxiv.org/abs/1702.01284>.

use super::form::{Histogram, REGISTERS};

/// 0.5 / ln(2).
const ALPHA: f64 = 0.721_347_520_444_481_7;
/// Bits of a hash that do not name the register.
const RANK_BITS: usize = 50;

pub fn of_histogram(histogram: &Histogram) -> i64 {
    let count = REGISTERS as f64;
    let of = |value: usize| f64::from(histogram[value]);
    let mut sum = count * tau((count - of(RANK_BITS + 1)) / count);
    for value in (1..=RANK_BITS).rev() {
        sum += of(value);
        sum *= 0.5;
    }
    sum += count * sigma(of(0) / count);
    let estimate = ALPHA * count * count / sum;
    // Registers that no hash makes: Redis' answer is that of its processor.
    if estimate.is_finite() || sum.is_infinite() { estimate.round() as i64 } else { i64::MIN }
}

fn sigma(mut x: f64) -> f64 {
    if x == 1.0 {
        return f64::INFINITY;
    }
    let (mut y, mut z) = (1.0, x);
    loop {
        x *= x;
        let before = z;
        z += x * y;
        y += y;
        if z == before {
            return z;
        }
    }
}

fn tau(mut x: f64) -> f64 {
    if x == 0.0 || x == 1.0 {
        return 0.0;
    }
    let (mut y, mut z) = (1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = z;
        y *= 0.5;
        z -= (1.0 - x) * (1.0 - x) * y;
        if z == before {
            return z / 3.0;
        }
    }
}
