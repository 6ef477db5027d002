//! Numbers as Redis reads and writes them.
//!
//! - An integer is strict: no sign but `-`, no leading zero, no space, within 64 bits (`string2ll` in Redis).
//! - A double is written in the fewest digits that read back as the same double, with an exponent where Redis 7.2
//!   uses one: see [`write_double`].

/// Reads a strict decimal integer.
pub fn parse_integer(text: &[u8]) -> Option<i64> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let canonical = match digits {
        [b'0'] => text.len() == 1,
        [b'1'..=b'9', rest @ ..] => rest.len() < 19 && rest.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    if !canonical {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// Reads a finite or infinite double; never NaN, no surrounding space, and infinite only where the text says so.
pub fn parse_double(text: &[u8]) -> Option<f64> {
    let text = std::str::from_utf8(text).ok()?;
    let value: f64 = text.parse().ok()?;
    let overflown = value.is_infinite() && text.bytes().any(|byte| byte.is_ascii_digit());
    (!value.is_nan() && !overflown).then_some(value)
}

/// Whole numbers below this have no exponent and no rounding: they are written as integers.
const MAX_PLAIN_INTEGER: f64 = (1_u64 << 52) as f64;

/// Appends the text in which Redis 7.2 and later answer with `value` (`d2string` and the fpconv library there).
///
/// An exponent is used unless the text without one is short: at most seven zeros behind the digits of a whole number;
/// at most six digits behind the point of any other, or any number of them between 0.001 and 10,000.
pub fn write_double(out: &mut Vec<u8>, value: f64) {
    if value.is_infinite() {
        out.extend_from_slice(if value > 0.0 { b"inf" } else { b"-inf" });
    } else if value.is_nan() {
        out.extend_from_slice(b"nan");
    } else if value == 0.0 {
        out.extend_from_slice(if value.is_sign_negative() { b"-0" } else { b"0" });
    } else if value.trunc() == value && value.abs() < MAX_PLAIN_INTEGER {
        out.extend_from_slice(itoa::Buffer::new().format(value as i64).as_bytes());
    } else {
        write_digits(out, value);
    }
}

/// Appends a finite double other than a small whole number.
fn write_digits(out: &mut Vec<u8>, value: f64) {
    let scientific = format!("{value:e}");
    let (digits, exponent) = scientific.split_once('e').expect("the form has an exponent");
    let digit_count = digits.bytes().filter(u8::is_ascii_digit).count() as i32;
    let exponent: i32 = exponent.parse().expect("the exponent is a small integer");
    let last_digit = exponent - digit_count + 1;
    let plain = if last_digit >= 0 { last_digit <= 7 } else { last_digit >= -6 || exponent.abs() < 4 };
    let text = match (plain, exponent < 0) {
        (true, _) => value.to_string(),
        (false, true) => scientific,
        (false, false) => format!("{digits}e+{exponent}"),
    };
    out.extend_from_slice(text.as_bytes());
}

/// `write_double` as an owned text.
pub fn double_text(value: f64) -> Vec<u8> {
    let mut out = Vec::with_capacity(24);
    write_double(&mut out, value);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_strict() {
        for (text, value) in
            [("0", 0), ("-1", -1), ("9223372036854775807", i64::MAX), ("-9223372036854775808", i64::MIN)]
        {
            assert_eq!(parse_integer(text.as_bytes()), Some(value), "{text}");
        }
        for text in
            ["", "-", "+1", "01", "-0", " 1", "1 ", "1.0", "9223372036854775808", "99999999999999999999"]
        {
            assert_eq!(parse_integer(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn doubles_are_written_as_redis_does() {
        let cases = [
            (3.0, "3"),
            (1.5, "1.5"),
            (-0.1, "-0.1"),
            (1e21, "1e+21"),
            (1.5e-7, "1.5e-7"),
            (f64::INFINITY, "inf"),
            (1e20, "1e+20"),
            (1e10, "10000000000"),
            (-4503599627370495.0, "-4503599627370495"),
            (9007199254740993.0, "9007199254740992"),
            (1.2345678901234568e17, "123456789012345680"),
            (0.1 + 0.2, "0.30000000000000004"),
            (0.000001, "0.000001"),
            (0.000123456, "1.23456e-4"),
            (1234.567890123, "1234.567890123"),
            (12345.678901234567, "1.2345678901234567e+4"),
            (1700000000.123456, "1700000000.123456"),
            (5e-324, "5e-324"),
            (f64::MAX, "1.7976931348623157e+308"),
            (-0.0, "-0"),
        ];
        for (value, text) in cases {
            assert_eq!(double_text(value), text.as_bytes());
        }
    }

    #[test]
    fn doubles_are_read_unless_they_overflow() {
        for (text, value) in
            [("3.0", 3.0), ("-1e3", -1000.0), ("+inf", f64::INFINITY), ("-INF", f64::NEG_INFINITY)]
        {
            assert_eq!(parse_double(text.as_bytes()), Some(value), "{text}");
        }
        for text in ["", "nan", "1e400", "-1e400", " 1", "1 ", "1x"] {
            assert_eq!(parse_double(text.as_bytes()), None, "{text}");
        }
    }
}
