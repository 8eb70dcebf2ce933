//! Numbers as tar headers and PAX records write them.

use super::Time;

const MALFORMED: &str = "a number in its header is malformed";

/// Reads a numeric field: octal digits between blanks, or two's complement in base 256. An empty field is zero, as in Go and Python.
pub(crate) fn number(field: &[u8]) -> Result<i64, &'static str> {
    let start: i128 = match field.first() {
        Some(0x80) => 0,
        Some(0xff) => -1,
        Some(0x81..) => return Err(MALFORMED),
        _ => return octal(field),
    };
    let value = field[1..].iter().fold(start, |value, byte| value << 8 | i128::from(*byte));
    i64::try_from(value).map_err(|_| "a number in its header is out of range")
}

/// Reads octal digits between blanks. What follows a NUL isn't looked at, but a NUL in front of digits hides them from some readers only.
pub(crate) fn octal(field: &[u8]) -> Result<i64, &'static str> {
    let is_blank = |byte: &u8| matches!(byte, b' ' | 0);
    let start = field.iter().position(|byte| *byte != b' ').unwrap_or(field.len());
    let end = field[start..].iter().position(is_blank).map_or(field.len(), |len| start + len);
    if !field[end..].iter().all(is_blank) && (start == end || field[end] != 0) {
        return Err(MALFORMED);
    }
    field[start..end].iter().try_fold(0i64, |value, digit| match digit {
        // 12 octal digits are 36 bits: no overflow.
        b'0'..=b'7' => Ok(value << 3 | i64::from(digit - b'0')),
        _ => Err(MALFORMED),
    })
}

/// Reads a decimal number without sign.
pub(crate) fn decimal(text: &[u8]) -> Result<u64, &'static str> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return Err("a PAX number is malformed");
    }
    std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).ok_or("a PAX number is out of range")
}

/// Reads a PAX time: decimal seconds, which may be negative, with any number of places.
pub(crate) fn time(text: &[u8]) -> Result<Time, &'static str> {
    const MALFORMED: &str = "a PAX time is malformed";
    let (negative, text) = match text.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, places) = match text.iter().position(|byte| *byte == b'.') {
        Some(dot) => (&text[..dot], &text[dot + 1..]),
        None => (text, &[][..]),
    };
    if !places.iter().all(u8::is_ascii_digit) {
        return Err(MALFORMED);
    }
    let seconds = i64::try_from(decimal(whole).map_err(|_| MALFORMED)?).map_err(|_| MALFORMED)?;
    let nanos = (0..9).fold(0, |nanos, at| nanos * 10 + u32::from(places.get(at).map_or(0, |digit| digit - b'0')));
    Ok(match (negative, nanos) {
        (false, _) => Time { seconds, nanos },
        (true, 0) => Time { seconds: -seconds, nanos },
        // The nanoseconds count forward from the second before.
        (true, _) => Time { seconds: -seconds - 1, nanos: 1_000_000_000 - nanos },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_numbers() {
        assert_eq!(number(b"0000644\0"), Ok(0o644));
        assert_eq!(number(b"   644 \0"), Ok(0o644));
        assert_eq!(number(b"\0\0\0\0"), Ok(0));
        assert_eq!(number(b"  \0 "), Ok(0));
        assert_eq!(number(b""), Ok(0));
        assert_eq!(number(b"777777777777"), Ok((1 << 36) - 1));
        assert_eq!(number(b"\x80\0\0\0\0\0\0\0\0\0\x01\0"), Ok(256));
        assert_eq!(number(&[0xff; 12]), Ok(-1));
        assert_eq!(number(b"\xff\xff\xff\xff\xff\xff\xff\xfe"), Ok(-2));
        // What follows the NUL is not looked at, as in every reader.
        assert_eq!(number(b"12\0junk"), Ok(0o12));
        assert!(number(b"\x0012\0").is_err());
        assert!(number(b" \x0012\0").is_err());
        assert!(number(b"12 3").is_err());
        assert!(number(b"\x81\0\0\0\0\0\0\0").is_err());
        assert!(number(b"\xc0\0\0\0\0\0\0\0").is_err());
        assert!(number(b"0o7").is_err());
        assert!(number(b"-1").is_err());
        assert!(number(b"8").is_err());
        assert!(number(b"\x80\0\0\x01\0\0\0\0\0\0\0\0").is_err());
    }

    #[test]
    fn pax_times() {
        let at = |seconds, nanos| Ok(Time { seconds, nanos });
        assert_eq!(time(b"12"), at(12, 0));
        assert_eq!(time(b"12.5"), at(12, 500_000_000));
        assert_eq!(time(b"12.0123456789"), at(12, 12_345_678));
        assert_eq!(time(b"-12"), at(-12, 0));
        assert_eq!(time(b"-12.25"), at(-13, 750_000_000));
        assert_eq!(time(b"-0.000000001"), at(-1, 999_999_999));
        for text in ["", "NaN", "1e9", "-", ".5", "1.5x", "+1", "99999999999999999999"] {
            assert!(time(text.as_bytes()).is_err(), "{text}");
        }
    }
}
