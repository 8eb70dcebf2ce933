//! The names of an archive's members, and what they lead to.

use std::collections::BTreeMap;
use std::ops::Bound;

use crate::ArchiveError;

/// The most members that are taken. The largest images have some thousand.
const MAX_MEMBERS: usize = 100_000;

/// The most bytes that all names and targets of links may have.
const MAX_BYTES: usize = 16 << 20;

/// All members of an archive by their exact names.
#[derive(Debug, Default)]
pub struct Names {
    members: BTreeMap<String, Kind>,
    bytes: usize,
}

#[derive(Debug, PartialEq, Eq)]
enum Kind {
    File,
    Folder,
    /// A link to the member of this name, in the form in which members have theirs.
    Link(String),
}

impl Names {
    /// Takes in a file.
    pub(crate) fn file(&mut self, name: String) -> Result<(), ArchiveError> {
        self.add(name, Kind::File)
    }

    /// Takes in a folder, which may be there several times.
    pub(crate) fn folder(&mut self, name: String) -> Result<(), ArchiveError> {
        match self.members.get(&name) {
            Some(Kind::Folder) => Ok(()),
            _ => self.add(name, Kind::Folder),
        }
    }

    /// Takes in a link. A symbolic one leads on from the folder that it lies in.
    pub(crate) fn link(&mut self, name: String, target: &[u8], is_symbolic: bool) -> Result<(), ArchiveError> {
        let refused = |reason| ArchiveError::member(&name, reason);
        let target = std::str::from_utf8(target).map_err(|_| refused("it is a link to a name that is no UTF-8"))?;
        let folder = if is_symbolic { name.rsplit_once('/').map_or("", |(folder, _)| folder) } else { "" };
        let target = follow(folder, target).ok_or_else(|| refused("it is a link that leads out of the archive"))?;
        self.add(name, Kind::Link(target))
    }

    fn add(&mut self, name: String, kind: Kind) -> Result<(), ArchiveError> {
        self.bytes += name.len();
        if let Kind::Link(target) = &kind {
            self.bytes += target.len();
        }
        if self.bytes > MAX_BYTES {
            return Err(ArchiveError::TooMuch { what: "bytes of names", limit: MAX_BYTES });
        }
        if self.members.len() >= MAX_MEMBERS {
            return Err(ArchiveError::TooMuch { what: "members", limit: MAX_MEMBERS });
        }
        if self.members.contains_key(&name) {
            return Err(ArchiveError::member(&name, "it is there twice"));
        }
        self.members.insert(name, kind);
        Ok(())
    }

    /// Refuses members below what is no folder: on a file system they would lie elsewhere, or nowhere.
    pub(crate) fn check(&self) -> Result<(), ArchiveError> {
        for (name, kind) in &self.members {
            let reason = match kind {
                Kind::Folder => continue,
                Kind::File => "it lies below a file",
                Kind::Link(_) => "it lies below a link",
            };
            let below = format!("{name}/");
            let range = (Bound::Included(below.as_str()), Bound::Unbounded);
            if let Some((inner, _)) = self.members.range::<str, _>(range).next()
                && inner.starts_with(&below)
            {
                return Err(ArchiveError::member(inner, reason));
            }
        }
        Ok(())
    }

    /// The file that a name leads to: the member of exactly that name, or the one that a link of that name names in its turn. `None` when there is
    /// no such file; links are followed no further.
    pub fn find(&self, name: &str) -> Option<&str> {
        let (name, kind) = self.members.get_key_value(name)?;
        match kind {
            Kind::File => Some(name),
            Kind::Folder => None,
            Kind::Link(target) => match self.members.get_key_value(target)? {
                (target, Kind::File) => Some(target),
                _ => None,
            },
        }
    }
}

/// The name of a member in the one form that it is known by, without `./` in front and without a slash behind.
///
/// # Errors
///
/// With the reason when it leads out of the archive or could be read in several ways.
pub(crate) fn plain(name: &[u8]) -> Result<String, ArchiveError> {
    let lossy = || String::from_utf8_lossy(name).into_owned();
    let refused = |reason| ArchiveError::member(&lossy(), reason);
    let mut text = std::str::from_utf8(name).map_err(|_| refused("its name is no UTF-8"))?;
    if text.starts_with('/') {
        return Err(refused("its name is absolute"));
    }
    text = text.strip_suffix('/').unwrap_or(text);
    while let Some(rest) = text.strip_prefix("./") {
        text = rest;
    }
    if text == "." {
        return Ok(String::new());
    }
    for part in text.split('/') {
        match part {
            ".." => return Err(refused("its name leads out of the archive or back by `..`")),
            "" | "." => return Err(refused("its name has an empty part")),
            _ => {}
        }
    }
    Ok(text.to_owned())
}

/// The member that `target` means, seen from `folder`; `None` if it lies outside of the archive.
fn follow(folder: &str, target: &str) -> Option<String> {
    if target.starts_with('/') {
        return None;
    }
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_have_one_form() {
        for (name, want) in
            [("a/b", "a/b"), ("./a/b", "a/b"), ("././a", "a"), ("a/", "a"), ("./", ""), (".", ""), ("...", "...")]
        {
            assert_eq!(plain(name.as_bytes()).unwrap(), want, "{name}");
        }
        for (name, reason) in [
            ("/a", "absolute"),
            ("../a", "`..`"),
            ("a/../b", "`..`"),
            ("a/..", "`..`"),
            ("a//b", "empty part"),
            ("a/./b", "empty part"),
            ("", "empty part"),
        ] {
            let error = plain(name.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(reason), "{name}: {error}");
        }
        assert!(plain(b"\xff").unwrap_err().to_string().contains("UTF-8"));
    }

    #[test]
    fn links_lead_to_members_and_nowhere_else() {
        let mut names = Names::default();
        names.file("a/layer.tar".to_owned()).unwrap();
        names.folder("a".to_owned()).unwrap();
        names.folder("a".to_owned()).unwrap();
        names.link("b/layer.tar".to_owned(), b"../a/layer.tar", true).unwrap();
        names.link("c".to_owned(), b"./a/layer.tar", false).unwrap();
        names.link("d".to_owned(), b"c", true).unwrap();
        names.link("e".to_owned(), b"a", true).unwrap();
        names.check().unwrap();
        for name in ["a/layer.tar", "b/layer.tar", "c"] {
            assert_eq!(names.find(name), Some("a/layer.tar"), "{name}");
        }
        // Over two links, to a folder, by another spelling, to nothing.
        for name in ["d", "e", "a", "./c", "b/../a/layer.tar", "x", ""] {
            assert_eq!(names.find(name), None, "{name}");
        }
        for target in ["../x", "/etc/passwd", "../../etc/passwd", "a/../../x"] {
            let error = names.link("f".to_owned(), target.as_bytes(), true).unwrap_err().to_string();
            assert!(error.contains("leads out of the archive"), "{target}: {error}");
        }
        let error = names.file("a/layer.tar".to_owned()).unwrap_err().to_string();
        assert_eq!(error, "member `a/layer.tar` of the archive: it is there twice");
    }

    #[test]
    fn nothing_lies_below_a_link_or_a_file() {
        for (first, is_link) in [(true, true), (false, true), (true, false), (false, false)] {
            let mut names = Names::default();
            let inner = |names: &mut Names| names.file("a/b".to_owned()).unwrap();
            if first {
                inner(&mut names);
            }
            if is_link {
                names.link("a".to_owned(), b"c", true).unwrap();
            } else {
                names.file("a".to_owned()).unwrap();
            }
            if !first {
                inner(&mut names);
            }
            // Sorted between the two.
            names.file("a-b".to_owned()).unwrap();
            let error = names.check().unwrap_err().to_string();
            let what = if is_link { "link" } else { "file" };
            assert_eq!(error, format!("member `a/b` of the archive: it lies below a {what}"));
        }
    }

    #[test]
    fn names_are_bounded() {
        let mut names = Names::default();
        let error = (0..).find_map(|n| names.file(format!("{n}{}", "x".repeat(4000))).err()).unwrap();
        assert!(error.to_string().contains("bytes of names"), "{error}");
        let mut names = Names::default();
        let error = (0..).find_map(|n: u32| names.file(n.to_string()).err()).unwrap();
        assert!(error.to_string().contains("100000 members"), "{error}");
    }

    proptest! {
        #[test]
        fn plain_names_stay_plain(name in "[a./]{0,12}") {
            if let Ok(name) = plain(name.as_bytes())
                && !name.is_empty()
            {
                prop_assert!(name.split('/').all(|part| !matches!(part, "" | "." | "..")));
                prop_assert_eq!(plain(name.as_bytes()).unwrap(), name.clone());
                prop_assert_eq!(follow("", &name), Some(name));
            }
        }
    }
}
