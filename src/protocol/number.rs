//! Numbers as Redis reads and writes them.
//!
//! - An integer is strict: no sign but `-`, no leading zero, no space, within 64 bits (`string2ll` in Redis).
//! - A double is written in the shortest form that reads back as the same double, with an exponent only where
//!   Redis uses one (below 1e-6, from 1e21 on).

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

/// Reads a finite or infinite double; never NaN, no surrounding space.
pub fn parse_double(text: &[u8]) -> Option<f64> {
    let text = std::str::from_utf8(text).ok()?;
    let value: f64 = text.parse().ok()?;
    (!value.is_nan()).then_some(value)
}

/// Appends the shortest text that reads back as `value`.
pub fn write_double(out: &mut Vec<u8>, value: f64) {
    if value.is_infinite() {
        out.extend_from_slice(if value > 0.0 { b"inf" } else { b"-inf" });
    } else if value.is_nan() {
        out.extend_from_slice(b"nan");
    } else if value == 0.0 {
        out.extend_from_slice(if value.is_sign_negative() { b"-0" } else { b"0" });
    } else if (1e-6..1e21).contains(&value.abs()) {
        out.extend_from_slice(format!("{value}").as_bytes());
    } else {
        let text = format!("{value:e}");
        out.extend_from_slice(text.replace("e", if text.contains("e-") { "e" } else { "e+" }).as_bytes());
    }
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
            (1e20, "100000000000000000000"),
        ];
        for (value, text) in cases {
            assert_eq!(double_text(value), text.as_bytes());
        }
    }
}
