//! The paths of images. Their names have slashes, so that the end of the path says what is wanted.

/// What a path under `/images/` asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ImagePath {
    /// All behind the beginning, decoded.
    rest: String,
}

impl ImagePath {
    /// Reads a path, still encoded; `None` if it is encoded wrongly.
    pub(crate) fn new(path: &str) -> Option<Self> {
        Self::under("/images/", path)
    }

    /// Reads a path with another beginning.
    pub(crate) fn under(begin: &str, path: &str) -> Option<Self> {
        Some(Self { rest: decode(path.strip_prefix(begin)?)? })
    }

    /// The whole as an image's name.
    pub(crate) fn name(&self) -> &str {
        &self.rest
    }

    /// The name and the word behind it: `("h:1/a/b:1", "json")`.
    pub(crate) fn name_and_word(&self) -> Option<(&str, &str)> {
        self.rest.rsplit_once('/')
    }
}

/// Undoes percent-encoding; `None` if it is none, or none of a text.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let mut digit = || char::from(rest.next()?).to_digit(16);
            let value = digit()? * 16 + digit()?;
            bytes.push(u8::try_from(value).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_their_slashes_however_they_come() {
        for (path, name, word) in [
            ("/images/alpine/json", "alpine", "json"),
            ("/images/127.0.0.1:5600/lab/app:2/history", "127.0.0.1:5600/lab/app:2", "history"),
            ("/images/h%3A1%2Flab%2fapp/tag", "h:1/lab/app", "tag"),
            ("/images/a@sha256:00/json", "a@sha256:00", "json"),
            ("/images/json/json", "json", "json"),
            ("/images//json", "", "json"),
        ] {
            assert_eq!(ImagePath::new(path).unwrap().name_and_word(), Some((name, word)), "{path}");
        }
        let whole = ImagePath::new("/images/docker.io/library/x:1").unwrap();
        assert_eq!(whole.name(), "docker.io/library/x:1");
        assert_eq!(ImagePath::new("/images/").unwrap().name(), "");
        assert_eq!(ImagePath::new("/images/x").unwrap().name_and_word(), None);
    }

    #[test]
    fn what_is_no_encoding_is_no_path() {
        for path in ["/images/%", "/images/%4", "/images/%zz", "/images/%+1", "/images/%ff", "/other"] {
            assert_eq!(ImagePath::new(path), None, "{path}");
        }
    }
}
