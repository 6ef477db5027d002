//! Numbers as Redis reads and writes them.
//!
//! - An integer is strict: no sign but `-`, no leading zero, no space, within 64 bits (`string2ll` in Redis).
//! - A double is read as C's `strtod` reads it, hexadecimal included, without depending on a locale: [`parse_double`] for
//!   values, and [`parse_double_loosely`] where Redis looks only for the end of the text.
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

/// Reads a finite or infinite double; never NaN, no surrounding space. A text that names a number too large or too small for
/// a double is none.
///
/// Source: `getDoubleFromObject` in Redis.
pub fn parse_double(text: &[u8]) -> Option<f64> {
    parse_without_space(text).and_then(|(value, in_range)| in_range.then_some(value))
}

/// As [`parse_double`], but a number too small for a double is 0.
pub fn parse_double_or_zero(text: &[u8]) -> Option<f64> {
    parse_without_space(text).and_then(|(value, in_range)| (in_range || value == 0.0).then_some(value))
}

fn parse_without_space(text: &[u8]) -> Option<(f64, bool)> {
    let starts_with_space = text.first()?.is_ascii_whitespace();
    if starts_with_space { None } else { strtod(text) }
}

/// Reads a double as a bound of scores or a weight of SORT: leading space is skipped, the empty text is 0, and a number too
/// large is infinite. Never NaN.
///
/// Source: `zslParseRange` in Redis.
pub fn parse_double_loosely(text: &[u8]) -> Option<f64> {
    let text = text.trim_ascii_start();
    if text.is_empty() { Some(0.0) } else { strtod(text).map(|(value, _)| value) }
}

/// The number that the whole text names, and whether a double holds it: false where it became infinite or zero. No NaN.
fn strtod(text: &[u8]) -> Option<(f64, bool)> {
    let unsigned = text.strip_prefix(b"-").or_else(|| text.strip_prefix(b"+")).unwrap_or(text);
    if let [b'0', b'x' | b'X', digits @ ..] = unsigned {
        let (magnitude, in_range) = parse_hexadecimal(digits)?;
        return Some((if text[0] == b'-' { -magnitude } else { magnitude }, in_range));
    }
    let value: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    let names_digits = unsigned.iter().take_while(|byte| !matches!(byte, b'e' | b'E'));
    let (mut has_digit, mut has_nonzero) = (false, false);
    for byte in names_digits {
        has_digit |= byte.is_ascii_digit();
        has_nonzero |= matches!(byte, b'1'..=b'9');
    }
    let in_range = if value.is_infinite() { !has_digit } else { value != 0.0 || !has_nonzero };
    (!value.is_nan()).then_some((value, in_range))
}

/// Reads `1f.8p-3` (after its `0x`): the number, and whether a double holds it.
fn parse_hexadecimal(text: &[u8]) -> Option<(f64, bool)> {
    let (digits, power) = match text.iter().position(|byte| matches!(byte, b'p' | b'P')) {
        Some(place) => (&text[..place], parse_power(&text[place + 1..])?),
        None => (text, 0),
    };
    let (mut mantissa, mut exponent, mut digit_count, mut after_point) = (0_u64, 0_i64, 0_usize, false);
    for byte in digits {
        if *byte == b'.' && !after_point {
            after_point = true;
            continue;
        }
        let digit = u64::from(char::from(*byte).to_digit(16)?);
        digit_count += 1;
        if mantissa >> 58 == 0 {
            mantissa = mantissa << 4 | digit;
            exponent -= if after_point { 4 } else { 0 };
        } else {
            // Bits beyond those that rounding looks at; that there were any decides a tie.
            mantissa |= u64::from(digit != 0);
            exponent += if after_point { 0 } else { 4 };
        }
    }
    if digit_count == 0 {
        return None;
    }
    let value = scale_by_power_of_two(mantissa as f64, exponent.saturating_add(power));
    Some((value, value.is_finite() && (value != 0.0 || mantissa == 0)))
}

fn parse_power(text: &[u8]) -> Option<i64> {
    let digits = text.strip_prefix(b"-").or_else(|| text.strip_prefix(b"+")).unwrap_or(text);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    // More digits than these move any number out of a double's range.
    let magnitude = digits.iter().fold(0_i64, |sum, digit| (sum * 10 + i64::from(digit - b'0')).min(1 << 40));
    Some(if text[0] == b'-' { -magnitude } else { magnitude })
}

/// Times 2 to the power, in steps that are exact until the last.
fn scale_by_power_of_two(mut value: f64, power: i64) -> f64 {
    let mut left = power.clamp(-4096, 4096);
    while left != 0 && value != 0.0 && value.is_finite() {
        let step = left.clamp(-512, 512);
        value *= f64::from_bits(((1023 + step) as u64) << 52);
        left -= step;
    }
    value
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
    fn doubles_are_read_as_strtod_does() {
        for (text, value) in [
            ("3.0", 3.0),
            ("-1e3", -1000.0),
            ("+inf", f64::INFINITY),
            ("-INF", f64::NEG_INFINITY),
            ("infinity", f64::INFINITY),
            ("1e-310", 1e-310),
            ("0e-400", 0.0),
            ("0x10", 16.0),
            ("-0XfP1", -30.0),
            ("0x.8", 0.5),
            ("0x1p-3", 0.125),
            ("0x1fffffffffffff8", 144115188075855872.0),
            ("0x100000000000008000000001", 2_f64.powi(92) * (1.0 + f64::EPSILON)),
            ("0x0p99999999999999999999", 0.0),
        ] {
            assert_eq!(parse_double(text.as_bytes()), Some(value), "{text}");
        }
        for text in [
            "",
            "nan",
            "1e400",
            "-1e400",
            "1e-400",
            "-1e-400",
            " 1",
            "1 ",
            "1x",
            "0x",
            "0x.",
            "0xg",
            "0x1p",
            "0x1p+",
            "0x1.2.3",
            "0x1p9999",
            "0x1p-9999",
            "x1",
            "--0x1",
        ] {
            assert_eq!(parse_double(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn loosely_read_doubles_may_have_leading_space_and_overflow() {
        for (text, value) in [
            ("", 0.0),
            (" ", 0.0),
            ("\t 1", 1.0),
            ("1e400", f64::INFINITY),
            ("-1e400", f64::NEG_INFINITY),
            ("1e-400", 0.0),
        ] {
            assert_eq!(parse_double_loosely(text.as_bytes()), Some(value), "{text:?}");
        }
        for text in ["1 ", "nan", "x", "1x"] {
            assert_eq!(parse_double_loosely(text.as_bytes()), None, "{text:?}");
        }
    }
}
