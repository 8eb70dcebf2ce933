//! How a number of bytes is spelled.

/// The decimal units docker counts in; a kilobyte is 1000 bytes and its `k` is small.
const UNITS: [&str; 7] = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];

/// Spells `bytes` in decimal units with at most `digits` significant digits, trailing zeroes dropped: `4.19MB`, `20.48kB`, `351B`.
///
/// Docker uses four digits beside a progress bar and three in its tables. A number with more digits in front of the point than that keeps
/// them (`1000kB`, for 999 950 bytes and four digits), since docker rounds after it has chosen the unit.
pub fn decimal_size(bytes: u64, digits: usize) -> String {
    #[expect(clippy::cast_precision_loss, reason = "four digits are shown, a double has fifteen")]
    let mut amount = bytes as f64;
    let mut unit = 0;
    while amount >= 1000.0 && unit + 1 < UNITS.len() {
        amount /= 1000.0;
        unit += 1;
    }
    let whole = if amount >= 100.0 {
        3
    } else if amount >= 10.0 {
        2
    } else {
        1
    };
    let mut text = format!("{amount:.*}", digits.saturating_sub(whole));
    if text.contains('.') {
        text.truncate(text.trim_end_matches('0').trim_end_matches('.').len());
    }
    text.push_str(UNITS[unit]);
    text
}

/// Reads a number of bytes as people write it: `500MB`, `1.5 GiB`, `20g`, `4096`. Units are decimal, and binary with an `i`; case and a blank
/// in front of them don't matter. `None` for anything else, and for more bytes than a number holds.
pub fn parse_size(text: &str) -> Option<u64> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unit = unit.trim_start().to_ascii_lowercase();
    let unit = unit.strip_suffix('b').unwrap_or(&unit);
    let (prefix, base) = unit.strip_suffix('i').map_or((unit, 1000u64), |prefix| (prefix, 1024));
    let power = match prefix {
        "" if base == 1000 => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        "p" => 5,
        _ => return None,
    };
    let factor = base.pow(power);
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || part.len() > 9 || number.ends_with('.') {
        return None;
    }
    // Nine digits behind the point are less than the smallest unit that has any.
    let part: u64 = format!("{part:0<9}").parse().ok()?;
    let part = u64::try_from(u128::from(part) * u128::from(factor) / 1_000_000_000).ok()?;
    whole.parse::<u64>().ok()?.checked_mul(factor)?.checked_add(part)
}

#[cfg(test)]
mod tests {
    use super::{decimal_size, parse_size};

    #[test]
    fn sizes_are_read_as_people_write_them() {
        let cases = [
            ("0", 0),
            ("4096", 4096),
            ("7B", 7),
            ("20GB", 20_000_000_000),
            ("20g", 20_000_000_000),
            ("1.5 GiB", 1_610_612_736),
            ("500mb", 500_000_000),
            ("1Ki", 1024),
            (" 2 TB ", 2_000_000_000_000),
            ("0.001kB", 1),
        ];
        for (text, bytes) in cases {
            assert_eq!(parse_size(text), Some(bytes), "{text}");
        }
        for text in ["", "GB", "1.", ".5GB", "1.2.3", "-1", "20XB", "5ib", "1e9", "99999999999PB", "1 0"] {
            assert_eq!(parse_size(text), None, "{text}");
        }
    }

    #[test]
    fn sizes_read_as_docker_prints_them() {
        let cases = [
            (0, "0B", "0B"),
            (1, "1B", "1B"),
            (351, "351B", "351B"),
            (999, "999B", "999B"),
            (1000, "1kB", "1kB"),
            (16_384, "16.38kB", "16.4kB"),
            (20_480, "20.48kB", "20.5kB"),
            (300_304, "300.3kB", "300kB"),
            (999_950, "1000kB", "1000kB"),
            (1_048_576, "1.049MB", "1.05MB"),
            (3_490_290, "3.49MB", "3.49MB"),
            (4_190_000, "4.19MB", "4.19MB"),
            (6_806_724, "6.807MB", "6.81MB"),
            (100_000_000, "100MB", "100MB"),
            (1_500_000_000, "1.5GB", "1.5GB"),
            (u64::MAX, "18.45EB", "18.4EB"),
        ];
        for (bytes, four, three) in cases {
            assert_eq!(decimal_size(bytes, 4), four);
            assert_eq!(decimal_size(bytes, 3), three);
        }
    }
}
