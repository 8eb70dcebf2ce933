//! An upload that a registry has opened: where to send to, and how much is there.

use http::HeaderMap;
use http::header::{LOCATION, RANGE};
use reqwest::Url;

use crate::redirect::{RedirectError, target};

/// The header in which a registry asks for chunks, and for how large ones at least.
const MIN_CHUNK: &str = "oci-chunk-min-length";

/// One upload of one blob.
#[derive(Clone, Debug)]
pub(super) struct Session {
    /// Where to send the next bytes; it may change with every answer, and its query is the registry's own business.
    pub(super) location: Url,
    /// How many bytes the registry has.
    pub(super) at: u64,
    /// The least bytes in a chunk, from a registry that wants chunks.
    pub(super) min_chunk: Option<u64>,
    /// Whether a request has failed since, so that the registry must be asked what it has.
    pub(super) unsure: bool,
}

impl Session {
    /// The upload that an answer from `from` opens.
    pub(super) fn open(from: &Url, headers: &HeaderMap) -> Result<Self, RedirectError> {
        let location = target(from, text(headers, LOCATION.as_str()))?;
        let min_chunk = text(headers, MIN_CHUNK).and_then(|text| text.trim().parse().ok());
        Ok(Self { location, at: 0, min_chunk, unsure: false })
    }

    /// Takes the next location from an answer from `from`, if it names one.
    pub(super) fn follow(&mut self, from: &Url, headers: &HeaderMap) -> Result<(), RedirectError> {
        if headers.contains_key(LOCATION) {
            self.location = target(from, text(headers, LOCATION.as_str()))?;
        }
        Ok(())
    }

    /// Where to send the end of the blob to.
    pub(super) fn end(&self, digest: &layer_digest::Digest) -> Url {
        let mut url = self.location.clone();
        url.query_pairs_mut().append_pair("digest", &digest.to_string());
        url
    }
}

/// How many bytes a registry says that it has, by `Range: 0-<last>`. `None` when it doesn't say, or says something else.
///
/// `0-0` is read as none: registries spell both one byte and none so, and the one byte is quickly sent again.
///
/// Spec: OCI distribution-spec 1.1, "Pushing a blob in chunks". The header has no unit, but some registries write one.
pub(super) fn held(headers: &HeaderMap) -> Option<u64> {
    let text = text(headers, RANGE.as_str())?.trim();
    let text = text.strip_prefix("bytes=").or(text.strip_prefix("bytes ")).unwrap_or(text);
    let last = text.strip_prefix("0-")?;
    if last.is_empty() || !last.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    match last.parse().ok()? {
        0 => Some(0),
        last => u64::checked_add(last, 1),
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use layer_digest::Digest;
    use proptest::prelude::*;

    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pairs = pairs
            .iter()
            .map(|(name, value)| (http::HeaderName::from_static(name), HeaderValue::from_str(value).unwrap()));
        pairs.collect()
    }

    #[test]
    fn what_a_registry_has_is_read() {
        for (text, want) in [
            ("0-0", Some(0)),
            ("0-1", Some(2)),
            ("0-1048575", Some(1 << 20)),
            ("bytes=0-9", Some(10)),
            ("bytes 0-9", Some(10)),
            ("1-9", None),
            ("0-", None),
            ("0--1", None),
            ("0-+1", None),
            ("9", None),
            ("", None),
            ("0-18446744073709551615", None),
            ("0-99999999999999999999", None),
        ] {
            assert_eq!(held(&headers(&[("range", text)])), want, "{text}");
        }
        assert_eq!(held(&HeaderMap::new()), None);
    }

    #[test]
    fn a_location_may_be_relative_and_keeps_its_query() {
        let from: Url = "https://r.example/v2/a/blobs/uploads/".parse().unwrap();
        let digest = Digest::sha256(b"");
        let encoded = digest.to_string().replace(':', "%3A");
        for (location, want) in [
            ("/v2/a/blobs/uploads/1?_state=x%2By", "https://r.example/v2/a/blobs/uploads/1?_state=x%2By&digest="),
            ("1", "https://r.example/v2/a/blobs/uploads/1?digest="),
            ("https://s.example/u?a=b&c", "https://s.example/u?a=b&c&digest="),
        ] {
            let session = Session::open(&from, &headers(&[("location", location)])).unwrap();
            assert_eq!(String::from(session.end(&digest)), format!("{want}{encoded}"));
            assert_eq!((session.at, session.min_chunk), (0, None));
        }
        assert!(matches!(Session::open(&from, &HeaderMap::new()), Err(RedirectError::NoLocation)));
        let down = headers(&[("location", "http://s.example/u")]);
        assert!(matches!(Session::open(&from, &down), Err(RedirectError::Downgrade(_))));
    }

    #[test]
    fn a_registry_may_want_chunks() {
        let from: Url = "https://r.example/".parse().unwrap();
        let min = |text: &str| {
            Session::open(&from, &headers(&[("location", "/u"), ("oci-chunk-min-length", text)])).unwrap().min_chunk
        };
        assert_eq!((min("1024"), min("soon"), min("-1")), (Some(1024), None, None));
    }

    proptest! {
        #[test]
        fn any_range_is_read_without_panic(text in "[ -~]{0,40}") {
            held(&headers(&[("range", &text)]));
        }
    }
}
