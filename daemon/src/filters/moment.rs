//! Moments as docker's filters write them.

use jiff::civil::{Date, DateTime};
use jiff::{SignedDuration, Timestamp, Zoned};

/// The moment that a text means, seen from `now`; `None` if it means none.
///
/// It is one of a time span before now (`24h`, `1h30m`), seconds since 1970 (`1700000000.5`), a time with its zone (RFC 3339), or a time or
/// date without, which is one of the zone of `now`.
pub(crate) fn parse(text: &str, now: &Zoned) -> Option<Timestamp> {
    if let Some(moment) = since_1970(text) {
        return Some(moment);
    }
    if text.starts_with(|first: char| first.is_ascii_digit() || first == '.')
        && let Ok(span) = text.parse::<SignedDuration>()
    {
        return now.timestamp().checked_sub(span).ok();
    }
    if let Ok(moment) = text.parse::<Timestamp>() {
        return Some(moment);
    }
    let (date, zone) = match text.strip_suffix('Z') {
        Some(date) => (date, jiff::tz::TimeZone::UTC),
        None => (text, now.time_zone().clone()),
    };
    let civil = date.parse::<DateTime>().or_else(|_| date.parse::<Date>().map(DateTime::from)).ok()?;
    Some(zone.to_zoned(civil).ok()?.timestamp())
}

/// `1700000000` or `1700000000.000000001`.
fn since_1970(text: &str) -> Option<Timestamp> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(seconds) || !is_number(fraction) || fraction.len() > 9 {
        return None;
    }
    let nanos: i32 = format!("{fraction:0<9}").parse().ok()?;
    Timestamp::new(seconds.parse().ok()?, nanos).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Option<String> {
        let now: Zoned = "2024-06-01T12:00:00+02:00[Europe/Berlin]".parse().unwrap();
        parse(text, &now).map(|moment| moment.to_string())
    }

    #[test]
    fn every_spelling_of_docker_is_understood() {
        for (text, expected) in [
            ("24h", "2024-05-31T10:00:00Z"),
            ("1h30m", "2024-06-01T08:30:00Z"),
            ("1.5h", "2024-06-01T08:30:00Z"),
            ("10m", "2024-06-01T09:50:00Z"),
            ("1700000000", "2023-11-14T22:13:20Z"),
            ("1700000000.5", "2023-11-14T22:13:20.5Z"),
            ("2021-01-02", "2021-01-01T23:00:00Z"),
            ("2021-01-02Z", "2021-01-02T00:00:00Z"),
            ("2021-01-02T03:04:05", "2021-01-02T02:04:05Z"),
            ("2021-01-02T03:04", "2021-01-02T02:04:00Z"),
            ("2021-01-02T03:04:05Z", "2021-01-02T03:04:05Z"),
            ("2021-01-02T03:04:05.25+01:00", "2021-01-02T02:04:05.25Z"),
        ] {
            assert_eq!(at(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn other_texts_are_no_moment() {
        for text in ["", "x", "yesterday", "24", "h", "2021-13-01", "99999999999999999999", "1.5.5", "-"] {
            // A bare number is a second of 1970.
            assert_eq!(at(text).is_some(), text == "24", "{text}");
        }
    }
}
