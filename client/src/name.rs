//! The little that a client must see in an image's name. What it means is for the daemon to say.

/// The name and the tag of `text`, cut at the colon of its last component; a colon further in front belongs to a port.
///
/// A name with a digest is left whole.
pub(crate) fn split_tag(text: &str) -> (&str, Option<&str>) {
    let last = text.rfind('/').map_or(0, |slash| slash + 1);
    match text[last..].find(':') {
        Some(colon) if !text.contains('@') => (&text[..last + colon], Some(&text[last + colon + 1..])),
        _ => (text, None),
    }
}

/// Whether `text` says which of a repository's images is meant.
pub(crate) fn says_which(text: &str) -> bool {
    text.contains('@') || split_tag(text).1.is_some()
}

/// The repository and the tag of a name in a list; `None` for one without a tag. A digest behind the tag is dropped.
pub(crate) fn listed(text: &str) -> Option<(&str, &str)> {
    let (name, tag) = split_tag(text.split('@').next().unwrap_or(text));
    Some((name, tag?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tag_is_behind_the_last_colon_unless_that_is_a_port() {
        let cases = [
            ("alpine", ("alpine", None), false),
            ("alpine:3.20", ("alpine", Some("3.20")), true),
            ("localhost:5000/app", ("localhost:5000/app", None), false),
            ("localhost:5000/app:1", ("localhost:5000/app", Some("1")), true),
            ("[::1]:5000/app", ("[::1]:5000/app", None), false),
            ("alpine@sha256:00", ("alpine@sha256:00", None), true),
            ("alpine:3@sha256:00", ("alpine:3@sha256:00", None), true),
            ("", ("", None), false),
            ("a:", ("a", Some("")), true),
        ];
        for (text, split, which) in cases {
            assert_eq!(split_tag(text), split, "{text}");
            assert_eq!(says_which(text), which, "{text}");
        }
    }

    #[test]
    fn a_listed_name_is_shown_by_its_tag() {
        assert_eq!(listed("127.0.0.1:5000/a/b:1"), Some(("127.0.0.1:5000/a/b", "1")));
        assert_eq!(listed("alpine:3.18@sha256:00"), Some(("alpine", "3.18")));
        assert_eq!(listed("alpine@sha256:00"), None);
    }
}
