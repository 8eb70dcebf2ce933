//! PAX records: `<length> <key>=<value>\n`, and the times in them.

/// Writes one record. The length counts itself.
pub(super) fn record(key: &[u8], value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    let mut bytes = format!("{length} ").into_bytes();
    bytes.extend_from_slice(key);
    bytes.push(b'=');
    bytes.extend_from_slice(value);
    bytes.push(b'\n');
    bytes
}

/// Writes all records one after the other.
pub(super) fn records(records: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    records.iter().flat_map(|(key, value)| record(key, value)).collect()
}

/// Prints a time of whole seconds (rounded down) and nanoseconds as a decimal number.
pub(super) fn time(seconds: i64, nanos: u32) -> String {
    if nanos == 0 {
        return seconds.to_string();
    }
    let (sign, whole, part) = match seconds {
        ..0 => ("-", seconds.unsigned_abs() - 1, 1_000_000_000 - nanos),
        _ => ("", seconds.unsigned_abs(), nanos),
    };
    let text = format!("{sign}{whole}.{part:09}");
    text.trim_end_matches('0').to_owned()
}

#[cfg(test)]
mod tests {
    use super::{record, time};

    #[test]
    fn a_record_counts_its_own_length() {
        assert_eq!(record(b"a", b"b"), b"6 a=b\n");
        // 8 + 2 digits would be 10, and 10 has two digits.
        assert_eq!(record(b"path", b"xx"), b"11 path=xx\n");
        for length in 0..300 {
            let bytes = record(b"k", &vec![b'v'; length]);
            let digits = bytes.iter().position(|&byte| byte == b' ').unwrap();
            let told: usize = std::str::from_utf8(&bytes[..digits]).unwrap().parse().unwrap();
            assert_eq!(told, bytes.len(), "value of {length} bytes");
        }
    }

    #[test]
    fn times_before_1970_round_towards_the_past() {
        assert_eq!(time(0, 0), "0");
        assert_eq!(time(5, 250_000_000), "5.25");
        assert_eq!(time(-2, 500_000_000), "-1.5");
        assert_eq!(time(-1, 999_999_999), "-0.000000001");
        assert_eq!(time(-7, 0), "-7");
    }
}
