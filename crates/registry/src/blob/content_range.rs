//! Which bytes of a blob an answer holds: the `Content-Range` header.

use std::str::FromStr;

/// The bytes in the body of a `206 Partial Content`, or what a `416 Range Not Satisfiable` says in place of them.
///
/// Spec: RFC 9110, section 14.4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ContentRange {
    /// `bytes first-last/total`, both ends included; no total when the server wrote `*`.
    Bytes { first: u64, last: u64, total: Option<u64> },
    /// `bytes */total`.
    Unsatisfied { total: u64 },
}

impl FromStr for ContentRange {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (unit, rest) = text.trim().split_once(' ').ok_or(())?;
        if !unit.eq_ignore_ascii_case("bytes") {
            return Err(());
        }
        let (range, total) = rest.trim().split_once('/').ok_or(())?;
        if range == "*" {
            return Ok(Self::Unsatisfied { total: number(total)? });
        }
        let (first, last) = range.split_once('-').ok_or(())?;
        let (first, last) = (number(first)?, number(last)?);
        let total = if total == "*" { None } else { Some(number(total)?) };
        if first > last || total.is_some_and(|total| last >= total) {
            return Err(());
        }
        Ok(Self::Bytes { first, last, total })
    }
}

/// Digits and nothing else: `u64::from_str` would take a sign as well.
fn number(text: &str) -> Result<u64, ()> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().map_err(drop) } else { Err(()) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_what_servers_send() {
        for (text, want) in [
            ("bytes 0-0/1", Ok(ContentRange::Bytes { first: 0, last: 0, total: Some(1) })),
            ("bytes 5-9/10", Ok(ContentRange::Bytes { first: 5, last: 9, total: Some(10) })),
            ("Bytes 5-9/*", Ok(ContentRange::Bytes { first: 5, last: 9, total: None })),
            ("bytes */10", Ok(ContentRange::Unsatisfied { total: 10 })),
            ("bytes 9-5/10", Err(())),
            ("bytes 5-10/10", Err(())),
            ("bytes */*", Err(())),
            ("bytes +5-9/10", Err(())),
            ("bytes -9/10", Err(())),
            ("bytes 5-/10", Err(())),
            ("bytes 5-9", Err(())),
            ("items 5-9/10", Err(())),
            ("bytes 5-99999999999999999999/*", Err(())),
            ("", Err(())),
        ] {
            assert_eq!(text.parse::<ContentRange>(), want, "{text}");
        }
    }

    proptest! {
        #[test]
        fn round_trips(first: u64, length in 0_u64..1 << 40, beyond in prop::option::of(1_u64..1 << 40)) {
            let Some(last) = first.checked_add(length) else { return Ok(()) };
            let Some(total) = beyond.map(|beyond| last.checked_add(beyond)).map_or(Some(None), |t| t.map(Some)) else {
                return Ok(());
            };
            let shown = total.map_or("*".to_owned(), |total| total.to_string());
            let parsed = format!("bytes {first}-{last}/{shown}").parse();
            prop_assert_eq!(parsed, Ok(ContentRange::Bytes { first, last, total }));
        }

        #[test]
        fn any_text_is_taken_or_refused_without_panic(text: String) {
            if let Ok(ContentRange::Bytes { first, last, total }) = text.parse() {
                prop_assert!(first <= last && total.is_none_or(|total| last < total));
            }
        }
    }
}
