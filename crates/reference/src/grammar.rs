//! The grammar of image names, as predicates over their parts.
//!
//! ```text
//! reference  = [ domain "/" ] path [ ":" tag ] [ "@" digest ]
//!
//! domain     = host [ ":" digit { digit } ]
//! host       = label { "." label }  |  "[" ( hex | ":" ) { hex | ":" } "]"
//! label      = alnum  |  alnum { alnum | "-" } alnum               ; either case
//!
//! path       = component { "/" component }                         ; 255 bytes at most
//! component  = word { separator word }
//! word       = ( "a".."z" | digit ) { "a".."z" | digit }
//! separator  = "."  |  "_"  |  "__"  |  "-" { "-" }
//!
//! tag        = ( alnum | "_" ) { alnum | "_" | "." | "-" }         ; 128 bytes at most
//!
//! digest     = algorithm ":" hex { hex }                           ; 32 digits at least
//! algorithm  = algopart { ( "+" | "." | "-" | "_" ) algopart }
//! algopart   = letter { alnum }
//! ```
//!
//! Everything is ASCII. The brackets around an IPv6 address are part of the host; zones and embedded IPv4 addresses are not allowed. Each
//! predicate reads its text once from the left and allocates nothing.

/// The longest path, as the distribution spec's registries take it.
pub(crate) const MAX_PATH: usize = 255;

/// The longest domain. The grammar of the reference library sets no bound; DNS names end at 253 bytes, and a port has five digits.
const MAX_DOMAIN: usize = 260;

/// The longest tag.
const MAX_TAG: usize = 128;

/// The fewest hex digits that look like a digest at all.
const MIN_DIGEST: usize = 32;

/// Whether `text` is `host[:port]`.
pub(crate) fn is_domain(text: &str) -> bool {
    if text.len() > MAX_DOMAIN {
        return false;
    }
    if let Some(rest) = text.strip_prefix('[') {
        let Some((address, port)) = rest.split_once(']') else { return false };
        let allowed = |b: u8| b.is_ascii_hexdigit() || b == b':';
        return !address.is_empty() && address.bytes().all(allowed) && is_port_suffix(port);
    }
    let (host, port) = text.split_at(text.find(':').unwrap_or(text.len()));
    host.split('.').all(is_label) && is_port_suffix(port)
}

/// Whether `text` is empty or `:` and digits.
fn is_port_suffix(text: &str) -> bool {
    match text.strip_prefix(':') {
        Some(port) => !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()),
        None => text.is_empty(),
    }
}

fn is_label(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with('-')
        && !text.ends_with('-')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

/// Whether `text` is components with single slashes between them; its length is checked elsewhere.
pub(crate) fn is_path(text: &str) -> bool {
    text.split('/').all(is_component)
}

/// Whether `text` is words with separators between them.
pub(crate) fn is_component(text: &str) -> bool {
    let is_word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let mut rest = text.as_bytes();
    loop {
        let word = rest.iter().take_while(|&&b| is_word(b)).count();
        if word == 0 {
            return false;
        }
        rest = &rest[word..];
        let separator = match rest {
            [] => return true,
            [b'_', b'_', ..] => 2,
            [b'.' | b'_', ..] => 1,
            [b'-', ..] => rest.iter().take_while(|&&b| b == b'-').count(),
            _ => return false,
        };
        rest = &rest[separator..];
    }
}

/// Whether `text` is a tag.
pub(crate) fn is_tag(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    text.len() <= MAX_TAG
        && text.bytes().next().is_some_and(word)
        && text.bytes().all(|b| word(b) || b == b'.' || b == b'-')
}

/// Whether `text` has the shape of a digest; that it is one by a known algorithm, only parsing tells.
pub(crate) fn is_digest(text: &str) -> bool {
    let Some((algorithm, hex)) = text.split_once(':') else { return false };
    let part = |text: &str| {
        text.bytes().next().is_some_and(|b| b.is_ascii_alphabetic()) && text.bytes().all(|b| b.is_ascii_alphanumeric())
    };
    algorithm.split(['+', '.', '-', '_']).all(part)
        && hex.len() >= MIN_DIGEST
        && hex.bytes().all(|b| b.is_ascii_hexdigit())
}

/// Whether `text` would read as a whole image ID: 64 lower-case hex digits.
pub(crate) fn is_identifier(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains() {
        for good in [
            "a",
            "A1",
            "a-b",
            "a--b.C",
            "localhost:0",
            "10.0.0.1:65536",
            "[::]",
            "[::1]:5000",
            "[Fe80:0::a]",
            "xn--n3h.com",
        ] {
            assert!(is_domain(good), "{good}");
        }
        for bad in [
            "",
            "-a",
            "a-",
            "a..b",
            ".a",
            "a.",
            "a_b",
            "a:",
            "a:b",
            ":1",
            "[]",
            "[::1",
            "[::1]:",
            "[::1]x",
            "::1",
            "[::1%e]",
            "[::1.2.3.4]",
            "a b",
            "ä",
            "a:1:2",
        ] {
            assert!(!is_domain(bad), "{bad}");
        }
        assert!(!is_domain(&"a".repeat(MAX_DOMAIN + 1)));
    }

    #[test]
    fn paths() {
        for good in ["a", "0", "a.b", "a_b", "a__b", "a-b", "a-----b", "a/b/c", "a.b_c__d-e/f0"] {
            assert!(is_path(good), "{good}");
        }
        for bad in [
            "", "/", "a/", "/a", "a//b", "A", ".a", "a.", "_a", "-a", "a-", "a..b", "a___b", "a._b", "a-_b", "a_-b",
            "ä", "a b",
        ] {
            assert!(!is_path(bad), "{bad}");
        }
    }

    #[test]
    fn tags() {
        for good in ["a", "_", "A.-", "1.2.3-RC_4", "a".repeat(128).as_str()] {
            assert!(is_tag(good), "{good}");
        }
        for bad in ["", ".a", "-a", "a b", "a:b", "a/b", "a@b", "ä", "a+b", "a".repeat(129).as_str()] {
            assert!(!is_tag(bad), "{bad}");
        }
    }

    #[test]
    fn digests() {
        let hex = "0123456789abcdefABCDEF0123456789";
        for good in ["sha256", "SHA", "a1+b2.c3-d4_e5"] {
            assert!(is_digest(&format!("{good}:{hex}")), "{good}");
        }
        for bad in ["", "1a", "a+", "+a", "a++b", "a.1", "ä", "a b"] {
            assert!(!is_digest(&format!("{bad}:{hex}")), "{bad}");
        }
        for bad in [&hex[1..], "", "0123456789abcdefg123456789abcdef0"] {
            assert!(!is_digest(&format!("sha256:{bad}")), "{bad}");
        }
        assert!(!is_digest(hex));
    }
}
