//! HTTP/1.1 as the faulty registry reads it. Answers are written by hand, so that every byte on the wire is a decision.

use std::io::{self, BufRead, Read};
use std::net::TcpStream;

/// No client of ours sends heads or forms near this size.
const LIMIT: u64 = 256 * 1024;

/// A request as it came in.
pub(crate) struct Incoming {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Incoming {
    /// Reads the next request; none when the client has closed the connection.
    pub(crate) fn read(from: &mut io::BufReader<TcpStream>) -> io::Result<Option<Self>> {
        let bad = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
        let mut lines = Vec::new();
        let mut head = from.take(LIMIT);
        loop {
            let mut line = String::new();
            if head.read_line(&mut line)? == 0 {
                return if lines.is_empty() { Ok(None) } else { Err(bad("half a head")) };
            }
            let line = line.trim_end_matches(['\r', '\n']).to_owned();
            if line.is_empty() && !lines.is_empty() {
                break;
            }
            if !line.is_empty() {
                lines.push(line);
            }
        }
        let mut words = lines[0].split(' ');
        let (Some(method), Some(target)) = (words.next(), words.next()) else {
            return Err(bad("no request line"));
        };
        // A proxy's form of the target names the host as well.
        let target =
            target.strip_prefix("http://").map_or(target, |rest| &rest[rest.find('/').unwrap_or(rest.len())..]);
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let header =
            |line: &String| line.split_once(':').map(|(name, value)| (name.to_owned(), value.trim().to_owned()));
        let mut request = Self {
            method: method.to_owned(),
            path: path.to_owned(),
            query: query.to_owned(),
            headers: lines[1..].iter().filter_map(header).collect(),
            body: Vec::new(),
        };
        if let Some(length) = request.header("content-length") {
            let length: u64 = length.parse().map_err(|_| bad("no length"))?;
            from.take(length.min(LIMIT)).read_to_end(&mut request.body)?;
        }
        Ok(Some(request))
    }

    /// The first header of that name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let named = |(key, _): &&(String, String)| key.eq_ignore_ascii_case(name);
        self.headers.iter().find(named).map(|(_, value)| value.as_str())
    }

    /// The fields of the query, or of the form in the body, decoded.
    pub(crate) fn fields(&self) -> Vec<(String, String)> {
        let form = String::from_utf8_lossy(&self.body);
        let pairs = self.query.split('&').chain(form.split('&'));
        pairs.filter_map(|pair| pair.split_once('=')).map(|(key, value)| (decode(key), decode(value))).collect()
    }
}

/// What a path asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Ping,
    Token,
    Manifest { repository: String, reference: String },
    Blob { repository: String, digest: String },
    Tags { repository: String },
    Nothing,
}

impl Asked {
    pub(super) fn of(path: &str) -> Self {
        let path = decode(path);
        if path == "/token" {
            return Self::Token;
        }
        let Some(rest) = path.strip_prefix("/v2") else {
            return Self::Nothing;
        };
        let rest = rest.trim_start_matches('/');
        if rest.is_empty() {
            return Self::Ping;
        }
        let mut parts = rest.rsplitn(3, '/');
        match (parts.next(), parts.next(), parts.next().map(str::to_owned)) {
            (Some("list"), Some("tags"), Some(repository)) => Self::Tags { repository },
            (Some(reference), Some("manifests"), Some(repository)) => {
                Self::Manifest { repository, reference: reference.to_owned() }
            }
            (Some(digest), Some("blobs"), Some(repository)) => Self::Blob { repository, digest: digest.to_owned() },
            _ => Self::Nothing,
        }
    }

    pub(super) fn repository(&self) -> Option<&str> {
        match self {
            Self::Manifest { repository, .. } | Self::Blob { repository, .. } | Self::Tags { repository } => {
                Some(repository)
            }
            Self::Ping | Self::Token | Self::Nothing => None,
        }
    }
}

/// Decodes `%xx` and `+`.
fn decode(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let pair = after.get(..2).and_then(|pair| std::str::from_utf8(pair).ok());
        match (first, pair.and_then(|pair| u8::from_str_radix(pair, 16).ok())) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            (b'+', _) => {
                bytes.push(b' ');
                rest = after;
            }
            _ => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The part of `total` bytes that a Range header asks for: none without one or with one that isn't understood (the whole is sent then),
/// `Err` when it lies outside.
pub(super) fn range(header: Option<&str>, total: u64) -> Result<Option<(u64, u64)>, ()> {
    let Some((first, last)) = header.and_then(|text| text.strip_prefix("bytes=")).and_then(|text| text.split_once('-'))
    else {
        return Ok(None);
    };
    match (first.parse::<u64>(), last.parse::<u64>()) {
        (Ok(first), Ok(last)) if first <= last => {
            if first < total {
                Ok(Some((first, (last + 1).min(total))))
            } else {
                Err(())
            }
        }
        (Ok(first), Err(_)) if last.is_empty() => {
            if first < total {
                Ok(Some((first, total)))
            } else {
                Err(())
            }
        }
        (Err(_), Ok(count)) if first.is_empty() => {
            if count > 0 && total > 0 {
                Ok(Some((total.saturating_sub(count), total)))
            } else {
                Err(())
            }
        }
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::{Asked, decode, range};

    #[test]
    fn ranges_as_http_has_them() {
        assert_eq!(range(None, 10), Ok(None));
        assert_eq!(range(Some("bytes=0-0"), 10), Ok(Some((0, 1))));
        assert_eq!(range(Some("bytes=4-"), 10), Ok(Some((4, 10))));
        assert_eq!(range(Some("bytes=4-99"), 10), Ok(Some((4, 10))));
        assert_eq!(range(Some("bytes=-3"), 10), Ok(Some((7, 10))));
        assert_eq!(range(Some("bytes=10-"), 10), Err(()));
        assert_eq!(range(Some("lines=1-2"), 10), Ok(None));
    }

    #[test]
    fn paths_are_read_from_their_end() {
        assert_eq!(Asked::of("/v2/"), Asked::Ping);
        let asked = Asked::of("/v2/a/manifests/b/manifests/sha256%3Aff");
        assert_eq!(
            asked,
            Asked::Manifest { repository: "a/manifests/b".to_owned(), reference: "sha256:ff".to_owned() }
        );
        assert_eq!(Asked::of("/v2/a/tags/list"), Asked::Tags { repository: "a".to_owned() });
        assert_eq!(Asked::of("/elsewhere"), Asked::Nothing);
        assert_eq!(decode("a%2Fb+c%"), "a/b c%");
    }
}
