//! Moments as people write them: in UTC, with an offset from it, or as a span of time ago.
//!
//! Source: Hinnant, "chrono-compatible low-level date algorithms" (civil_from_days, days_from_civil).

use crate::env::Clock;

const MS_PER_DAY: i64 = 86_400_000;
const MS_PER_MINUTE: i64 = 60_000;

/// `2025-11-21T16:00:00.123Z`, from milliseconds since 1970.
pub fn utc_text(unix_ms: i64) -> String {
    let (year, month, day) = date_of(unix_ms.div_euclid(MS_PER_DAY));
    let ms = unix_ms.rem_euclid(MS_PER_DAY);
    let (hour, minute, second) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", ms % 1000)
}

/// `2025-11-21 16:00 UTC`, from milliseconds since 1970.
pub fn minute_text(unix_ms: i64) -> String {
    let (year, month, day) = date_of(unix_ms.div_euclid(MS_PER_DAY));
    let minutes = unix_ms.rem_euclid(MS_PER_DAY) / 60_000;
    format!("{year}-{month:02}-{day:02} {:02}:{:02} UTC", minutes / 60, minutes % 60)
}

/// Milliseconds of a span of time: `90s`, `15m`, `36h`, `7d`.
pub fn parse_span_ms(text: &str) -> Result<u64, String> {
    let wrong = || format!("'{text}' is no span of time, such as 36h");
    let unit_ms = match text.as_bytes().last() {
        Some(b's') => 1000,
        Some(b'm') => 60_000,
        Some(b'h') => 3_600_000,
        Some(b'd') => MS_PER_DAY as u64,
        _ => return Err(wrong()),
    };
    let number: u64 = text[..text.len() - 1].parse().map_err(|_| wrong())?;
    number.checked_mul(unit_ms).ok_or_else(wrong)
}

/// Milliseconds since 1970 of a moment as [`parse_utc`] reads it, or of a span before now: `10m ago`, `10 minutes ago`.
pub fn parse_moment(text: &str) -> Result<i64, String> {
    moment(text, Clock::system().unix_ms())
}

fn moment(text: &str, now_ms: i64) -> Result<i64, String> {
    let Some(span) = text.trim().strip_suffix("ago") else { return parse_utc(text) };
    let span = parse_span_in_words(span.trim()).ok_or_else(|| no_moment(text))?;
    Ok(now_ms.saturating_sub_unsigned(span))
}

/// Milliseconds of `10m`, `10 m`, `10 minutes`, `1 hour`.
fn parse_span_in_words(text: &str) -> Option<u64> {
    let end = text.find(|char: char| !char.is_ascii_digit())?;
    let (number, unit) = text.split_at(end);
    let unit = match unit.trim() {
        "s" | "second" | "seconds" => "s",
        "m" | "min" | "minute" | "minutes" => "m",
        "h" | "hour" | "hours" => "h",
        "d" | "day" | "days" => "d",
        _ => return None,
    };
    parse_span_ms(&format!("{number}{unit}")).ok()
}

fn no_moment(text: &str) -> String {
    format!("'{text}' is no moment like 2025-11-21T16:00:00.123Z, 2025-11-21T18:00+02:00 or '10 minutes ago'")
}

/// Milliseconds since 1970 of a date, or of a date and a time of day: `2025-11-21`, `2025-11-21T16:00`, with seconds, with a fraction
/// of them, with a space in place of the T. It is UTC, with a Z or without, unless an offset follows: `+02:00`.
pub fn parse_utc(text: &str) -> Result<i64, String> {
    let refused = || no_moment(text);
    let bare = text.strip_suffix(['Z', 'z']).unwrap_or(text);
    let (date, time) = bare.split_once(['T', 't', ' ']).unwrap_or((bare, "00:00"));
    let days = parse_date(date).ok_or_else(refused)?;
    let (time, offset_ms) = split_offset(time).ok_or_else(refused)?;
    let ms = parse_time(time).ok_or_else(refused)?;
    Ok(days * MS_PER_DAY + ms - offset_ms)
}

/// A time of day and how far its clock is ahead of UTC: `18:00+02:00`, `18:00-0330`, `18:00+02`.
fn split_offset(text: &str) -> Option<(&str, i64)> {
    let Some(at) = text.find(['+', '-']) else { return Some((text, 0)) };
    let (time, offset) = text.split_at(at);
    let (sign, offset) = offset.split_at(1);
    let (hours, minutes) = match offset.len() {
        2 => (offset, "00"),
        4 => offset.split_at_checked(2)?,
        _ => offset.split_once(':')?,
    };
    let (hours, minutes) = (digits(hours, 2)?, digits(minutes, 2)?);
    let ms = (hours * 60 + minutes) * MS_PER_MINUTE;
    (hours <= 14 && minutes <= 59).then_some((time, if sign == "-" { -ms } else { ms }))
}

fn parse_date(text: &str) -> Option<i64> {
    let mut parts = text.splitn(3, '-');
    let year = digits(parts.next()?, 4)?;
    let (month, day) = (digits(parts.next()?, 2)?, digits(parts.next()?, 2)?);
    let days = days_of(year, month, day);
    // A day that no month has comes back as another.
    (date_of(days) == (year, month, day)).then_some(days)
}

fn parse_time(text: &str) -> Option<i64> {
    let mut parts = text.splitn(3, ':');
    let (hour, minute) = (digits(parts.next()?, 2)?, digits(parts.next()?, 2)?);
    let (second, fraction) = match parts.next() {
        None => (0, "0"),
        Some(seconds) => {
            let (whole, fraction) = seconds.split_once('.').unwrap_or((seconds, "0"));
            (digits(whole, 2)?, fraction)
        }
    };
    let is_fraction = (1..=3).contains(&fraction.len()) && fraction.bytes().all(|b| b.is_ascii_digit());
    if hour > 23 || minute > 59 || second > 59 || !is_fraction {
        return None;
    }
    let ms: i64 = format!("{fraction:0<3}").parse().ok()?;
    Some(((hour * 60 + minute) * 60 + second) * 1000 + ms)
}

/// A number of exactly so many digits.
fn digits(text: &str, count: usize) -> Option<i64> {
    let is_number = text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { text.parse().ok() } else { None }
}

/// Year, month and day of the day with this number since 1970.
fn date_of(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

fn days_of(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let shifted_month = (month + 9) % 12;
    let day_of_year = (153 * shifted_month + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(minute_text(0), "1970-01-01 00:00 UTC");
        assert_eq!(minute_text(951_782_399_000), "2000-02-28 23:59 UTC");
        assert_eq!(minute_text(951_868_800_000), "2000-03-01 00:00 UTC");
        assert_eq!(utc_text(1_763_740_800_123), "2025-11-21T16:00:00.123Z");
        assert_eq!(utc_text(-1), "1969-12-31T23:59:59.999Z");
    }

    #[test]
    fn what_people_write_is_understood() {
        let sixteen = 1_763_740_800_000;
        for (text, ms) in [
            ("2025-11-21T16:00:00.123Z", sixteen + 123),
            ("2025-11-21T16:00:00.5Z", sixteen + 500),
            ("2025-11-21 16:00:07", sixteen + 7000),
            ("2025-11-21T16:00", sixteen),
            ("2025-11-21", sixteen - 16 * 3_600_000),
            ("2025-11-21T18:00:00.5+02:00", sixteen + 500),
            ("2025-11-21 10:30-0530", sixteen),
            ("2025-11-21T18:00+02", sixteen),
        ] {
            assert_eq!(parse_utc(text), Ok(ms), "{text}");
        }
    }

    #[test]
    fn a_span_ago_is_counted_from_now() {
        let now = 1_763_740_800_000;
        for (text, ms) in [
            ("10 minutes ago", 600_000),
            ("10m ago", 600_000),
            ("1 hour ago", 3_600_000),
            ("2d ago", 172_800_000),
        ] {
            assert_eq!(moment(text, now), Ok(now - ms), "{text}");
        }
        assert_eq!(moment("2025-11-21T16:00", 0), Ok(now));
        for text in
            ["ago", "ten minutes ago", "10 ago", "10 years ago", "-3m ago", "99999999999999999999d ago"]
        {
            assert!(moment(text, now).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_no_moment_is_refused() {
        for text in [
            "",
            "now",
            "2025-11-31",
            "2025-13-01",
            "25-11-21",
            "2025-11-21T24:00",
            "2025-11-21T16",
            "2025-11-21T16:00:00.1234",
            "2025-11-21T16:00+2",
            "2025-11-21T16:00+15:00",
            "2025-11-21T16:00+02:60",
        ] {
            assert!(parse_utc(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(ms in 0..253_402_300_800_000_i64) {
            prop_assert_eq!(parse_utc(&utc_text(ms)), Ok(ms));
        }
    }
}
