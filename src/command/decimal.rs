//! The numbers of INCRBYFLOAT and HINCRBYFLOAT: decimals with 17 digits behind the point.
//!
//! - Redis computes in 80-bit floats and prints `%.17Lf`, so that 0.1 + 0.2 is 0.3. Decimals give the same answers where
//!   an 80-bit float is exact enough, cleaner ones where it is not, and the same on every machine.
//! - Beyond some 1.7e21 a number is a double, printed without an exponent. Beyond a double's 1.8e308 it is refused, where Redis
//!   goes up to 1.2e4932.

use crate::protocol::number::parse_double_or_zero;

/// Digits behind the point that are kept and printed.
const PLACES: i32 = 17;
const ONE: i128 = 10_i128.pow(PLACES as u32);

/// Longer texts are no numbers, as in Redis.
const MAX_TEXT_BYTES: usize = 5 * 1024;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Decimal {
    /// The number times 10^17.
    Scaled(i128),
    /// Too large for that, or infinite; never NaN.
    Wide(f64),
}

impl Decimal {
    pub const ZERO: Decimal = Decimal::Scaled(0);

    /// Reads `12`, `-1.5`, `.5`, `3e-4`, `0x1f`, `inf`; no surrounding space, no NaN.
    pub fn parse(text: &[u8]) -> Option<Decimal> {
        if text.len() > MAX_TEXT_BYTES {
            return None;
        }
        let double = parse_double_or_zero(text)?;
        let is_hexadecimal = text.iter().any(|byte| matches!(byte, b'x' | b'X'));
        let scaled = match double.is_finite() {
            true if is_hexadecimal => parse_scaled(double.to_string().as_bytes()),
            true => parse_scaled(text),
            false => None,
        };
        Some(scaled.map_or(Decimal::Wide(double), Decimal::Scaled))
    }

    pub fn is_finite(self) -> bool {
        match self {
            Decimal::Scaled(_) => true,
            Decimal::Wide(double) => double.is_finite(),
        }
    }

    /// The sum; `None` where it is no finite number.
    pub fn plus(self, other: Decimal) -> Option<Decimal> {
        if let (Decimal::Scaled(a), Decimal::Scaled(b)) = (self, other)
            && let Some(sum) = a.checked_add(b)
        {
            return Some(Decimal::Scaled(sum));
        }
        let sum = self.to_double() + other.to_double();
        sum.is_finite().then_some(Decimal::Wide(sum))
    }

    /// Digits without an exponent and without trailing zeros behind the point.
    pub fn text(self) -> String {
        match self {
            Decimal::Wide(0.0) => "0".to_owned(),
            Decimal::Wide(double) => format!("{double}"),
            Decimal::Scaled(scaled) => {
                let sign = if scaled < 0 { "-" } else { "" };
                let (whole, part) =
                    (scaled.unsigned_abs() / ONE as u128, scaled.unsigned_abs() % ONE as u128);
                let digits = format!("{sign}{whole}.{part:017}");
                digits.trim_end_matches('0').trim_end_matches('.').to_owned()
            }
        }
    }

    fn to_double(self) -> f64 {
        match self {
            Decimal::Scaled(scaled) => scaled as f64 / ONE as f64,
            Decimal::Wide(double) => double,
        }
    }
}

/// A text that is known to be a finite number, times 10^17 and rounded; `None` where 128 bits do not hold it.
fn parse_scaled(text: &[u8]) -> Option<i128> {
    let text = std::str::from_utf8(text).ok()?;
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let negative = mantissa.starts_with('-');
    let (whole, part) = mantissa.trim_start_matches(['-', '+']).split_once('.').unwrap_or((mantissa, ""));
    let digits = whole.bytes().chain(part.bytes()).filter(u8::is_ascii_digit);
    // Exponents beyond 32 bits mean zero or infinity; the latter is no finite number and does not come here.
    let exponent = exponent.parse().unwrap_or(i32::MIN / 2);
    let point = i32::try_from(whole.bytes().filter(u8::is_ascii_digit).count()).ok()?;
    let magnitude = scale(digits, point.saturating_add(exponent).saturating_add(PLACES))?;
    Some(if negative { -magnitude } else { magnitude })
}

/// The number made of the first `kept` digits (zeros where they run out), rounded by the digit behind them.
fn scale(mut digits: impl Iterator<Item = u8>, kept: i32) -> Option<i128> {
    if kept < 0 {
        return Some(0);
    }
    let mut number: i128 = 0;
    for _ in 0..kept {
        let digit = match digits.next() {
            Some(digit) => i128::from(digit - b'0'),
            None if number == 0 => return Some(0),
            None => 0,
        };
        number = number.checked_mul(10)?.checked_add(digit)?;
    }
    let up = digits.next().is_some_and(|digit| digit >= b'5');
    number.checked_add(i128::from(up))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sum(a: &str, b: &str) -> Option<String> {
        let (a, b) = (Decimal::parse(a.as_bytes())?, Decimal::parse(b.as_bytes())?);
        a.plus(b).map(Decimal::text)
    }

    #[test]
    fn sums_are_what_people_expect() {
        let cases = [
            ("0.1", "0.2", "0.3"),
            ("10.50", "0.1", "10.6"),
            ("5.0e3", "2.0e2", "5200"),
            ("1", "-1.1", "-0.1"),
            ("3", "1.1", "4.1"),
            ("-0.5", "0.5", "0"),
            ("17179869184", "17179869184", "34359738368"),
            ("0", "0.00000000000000001", "0.00000000000000001"),
            ("0", "0.000000000000000005", "0.00000000000000001"),
            ("0", "1e-18", "0"),
            ("0", "1e-99999999999", "0"),
            ("0e999999999", "1.", "1"),
            (".5", "+.5", "1"),
            ("1e25", "1", "10000000000000000000000000"),
            ("1e25", "-1e25", "0"),
            ("1000000000000000000000", "0.5", "1000000000000000000000.5"),
            ("0x1", "1", "2"),
            ("-0x1p-2", "0", "-0.25"),
        ];
        for (a, b, expected) in cases {
            assert_eq!(sum(a, b).as_deref(), Some(expected), "{a} + {b}");
        }
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for text in ["", " 1", "1 ", "1,5", "nan", "0x", "e5", "--1", "."] {
            assert_eq!(Decimal::parse(text.as_bytes()), None, "{text:?}");
        }
        assert_eq!(sum("inf", "1"), None);
        assert_eq!(sum("1.7e308", "1.7e308"), None);
        assert!(Decimal::parse(&b"1".repeat(MAX_TEXT_BYTES + 1)).is_none());
    }
    proptest! {
        #[test]
        fn sums_of_decimals_are_exact(a in -1_000_000_000_000_i64..1_000_000_000_000, b in -1_000_000_000_000_i64..1_000_000_000_000, places in 0_u32..9) {
            let text = |scaled: i64| {
                let one = 10_i64.pow(places);
                let sign = if scaled < 0 { "-" } else { "" };
                format!("{sign}{}.{:0width$}", scaled.abs() / one, scaled.abs() % one, width = places as usize)
            };
            let expected = Decimal::parse(text(a + b).as_bytes()).map(Decimal::text);
            prop_assert_eq!(sum(&text(a), &text(b)), expected);
        }

        #[test]
        fn a_text_reads_back_as_itself(double in proptest::num::f64::NORMAL) {
            let text = Decimal::parse(double.to_string().as_bytes()).map(Decimal::text).expect("a finite number");
            let again = Decimal::parse(text.as_bytes()).map(Decimal::text);
            prop_assert_eq!(again, Some(text.clone()));
            let read: f64 = text.parse().expect("a number");
            prop_assert!((read - double).abs() <= double.abs() * 1e-15 + 1e-17, "{} for {}", text, double);
        }

        #[test]
        fn no_text_at_all_makes_it_panic(text in "[-+]?[0-9.]{0,40}(e[-+]?[0-9]{0,12})?") {
            let _ = Decimal::parse(text.as_bytes()).map(Decimal::text);
        }
    }
}
