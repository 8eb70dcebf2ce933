//! How long ago something was.

use jiff::Timestamp;

/// What Go makes of a time that was never set: the beginning of year 1, in seconds since 1970.
const NEVER: i64 = -62_135_596_800;

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
const WEEK: i64 = 7 * DAY;
/// A month and a year are as long as docker takes them to be.
const MONTH: i64 = 30 * DAY;
const YEAR: i64 = 365 * DAY;

/// The time now, in seconds since 1970.
pub(crate) fn now() -> i64 {
    Timestamp::now().as_second()
}

/// How long before `now` the time `then` was, in docker's words. Both are seconds since 1970.
pub(crate) fn since(then: i64, now: i64) -> String {
    if then <= NEVER {
        return "N/A".into();
    }
    let passed = now.saturating_sub(then);
    // Docker rounds to whole hours before it counts them in larger units.
    let hours = passed.saturating_add(HOUR / 2) / HOUR;
    let in_hours = |unit: i64| hours / (unit / HOUR);
    let text = match passed {
        ..1 => "Less than a second".into(),
        1 => "1 second".into(),
        2..MINUTE => format!("{passed} seconds"),
        MINUTE..120 => "About a minute".into(),
        120..HOUR => format!("{} minutes", passed / MINUTE),
        _ if hours == 1 => "About an hour".into(),
        _ if hours < 48 => format!("{hours} hours"),
        _ if hours < 2 * WEEK / HOUR => format!("{} days", in_hours(DAY)),
        _ if hours < 2 * MONTH / HOUR => format!("{} weeks", in_hours(WEEK)),
        _ if hours < 2 * YEAR / HOUR => format!("{} months", in_hours(MONTH)),
        _ => format!("{} years", passed / YEAR),
    };
    text + " ago"
}

/// The same of a time as RFC 3339 has it; the text itself if it is none.
pub(crate) fn of(then: &str, now: i64) -> String {
    then.parse::<Timestamp>().map_or_else(|_| then.to_owned(), |then| since(then.as_second(), now))
}

/// The time itself, as docker writes it into JSON of images.
pub(crate) fn date(then: i64) -> String {
    in_full(then, "%Y-%m-%d %H:%M:%S +0000 UTC")
}

/// The time itself, as docker writes it into JSON of steps: RFC 3339.
pub(crate) fn timestamp(then: i64) -> String {
    in_full(then, "%Y-%m-%dT%H:%M:%SZ")
}

fn in_full(then: i64, format: &str) -> String {
    match Timestamp::from_second(then) {
        Ok(time) if then > NEVER => time.strftime(format).to_string(),
        _ => "N/A".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_told_as_docker_tells_them() {
        let cases = [
            (-5, "Less than a second ago"),
            (0, "Less than a second ago"),
            (1, "1 second ago"),
            (59, "59 seconds ago"),
            (60, "About a minute ago"),
            (119, "About a minute ago"),
            (120, "2 minutes ago"),
            (HOUR - 1, "59 minutes ago"),
            (HOUR, "About an hour ago"),
            (HOUR + HOUR / 2, "2 hours ago"),
            (47 * HOUR, "47 hours ago"),
            (2 * DAY, "2 days ago"),
            (13 * DAY, "13 days ago"),
            (14 * DAY, "2 weeks ago"),
            (59 * DAY, "8 weeks ago"),
            (60 * DAY, "2 months ago"),
            (700 * DAY, "23 months ago"),
            (730 * DAY, "2 years ago"),
        ];
        for (passed, text) in cases {
            assert_eq!(since(1_800_000_000 - passed, 1_800_000_000), text, "{passed}");
        }
    }

    #[test]
    fn a_time_that_was_never_set_is_not_two_thousand_years_ago() {
        assert_eq!(since(NEVER, 1_800_000_000), "N/A");
        assert_eq!(date(NEVER), "N/A");
        assert_eq!(since(0, 1_800_000_000), "57 years ago");
    }

    #[test]
    fn numbers_beyond_all_time_do_no_harm() {
        assert_eq!(since(i64::MIN, i64::MAX), "N/A");
        assert_eq!(since(i64::MAX, 0), "Less than a second ago");
        assert!(since(NEVER + 1, i64::MAX).ends_with(" years ago"));
        assert_eq!(date(i64::MAX), "N/A");
    }

    #[test]
    fn dates_are_in_universal_time() {
        assert_eq!(date(1_704_067_200), "2024-01-01 00:00:00 +0000 UTC");
        assert_eq!(timestamp(1_725_661_207), "2024-09-06T22:20:07Z");
    }
}
