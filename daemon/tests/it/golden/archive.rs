//! What lies in a tar, as far as archives of images need it: no long names, no links.

/// A file or folder of a tar.
#[derive(Debug)]
pub(super) struct Entry {
    name: String,
    mode: u64,
    is_folder: bool,
    pub(super) content: Vec<u8>,
}

impl Entry {
    /// `name mode`, with one `*` for all names of blobs.
    fn told(&self) -> String {
        let name = match self.name.strip_prefix("blobs/sha256/") {
            Some(hex) if hex.len() == 64 => "blobs/sha256/*",
            _ => self.name.trim_end_matches('/'),
        };
        format!("{name}{} {:03o}", if self.is_folder { "/" } else { "" }, self.mode)
    }
}

/// The entries of a tar.
pub(super) fn entries(mut tar: &[u8]) -> Vec<Entry> {
    let mut entries = Vec::new();
    while let Some((head, rest)) = tar.split_at_checked(512).filter(|(head, _)| head[0] != 0) {
        let text = |from: usize, to: usize| String::from_utf8_lossy(&head[from..to]).trim_end_matches('\0').to_owned();
        let number = |from, to| u64::from_str_radix(text(from, to).trim(), 8).unwrap();
        let size = usize::try_from(number(124, 136)).unwrap();
        assert_eq!(number(136, 148), 0, "the time of `{}`", text(0, 100));
        entries.push(Entry {
            name: text(0, 100),
            mode: number(100, 108),
            is_folder: head[156] == b'5',
            content: rest[..size].to_vec(),
        });
        tar = &rest[size.next_multiple_of(512)..];
    }
    entries
}

/// What lies in it, in its order; what is alike is told once.
pub(super) fn told(entries: &[Entry]) -> Vec<String> {
    let mut told: Vec<String> = entries.iter().map(Entry::told).collect();
    told.dedup();
    told
}

/// The content of one of its files.
pub(super) fn file<'a>(entries: &'a [Entry], name: &str) -> Option<&'a [u8]> {
    entries.iter().find(|entry| entry.name == name).map(|entry| &*entry.content)
}
