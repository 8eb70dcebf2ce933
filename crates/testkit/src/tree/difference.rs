//! How two trees differ, in words.

use std::fmt::{Debug, Write};

use super::{Entry, Tree};

/// How many differences a failed comparison prints.
const SHOWN: usize = 60;

/// One line for each path and property that differs; empty if nothing does.
pub fn differences(left: &Tree, right: &Tree) -> Vec<String> {
    let mut lines = Vec::new();
    for (path, entry) in &left.entries {
        match right.entries.get(path) {
            None => lines.push(format!("{}: only left ({:?})", path.display(), entry.kind)),
            Some(other) => compare(&path.display().to_string(), entry, other, &mut lines),
        }
    }
    for (path, entry) in right.entries.iter().filter(|(path, _)| !left.entries.contains_key(*path)) {
        lines.push(format!("{}: only right ({:?})", path.display(), entry.kind));
    }
    lines
}

/// Fails, naming what differs, if two trees are not the same.
///
/// # Panics
/// If they differ.
#[track_caller]
pub fn assert_same(left: &Tree, right: &Tree) {
    let lines = differences(left, right);
    if lines.is_empty() {
        return;
    }
    let mut text = format!("the trees differ in {} places:\n", lines.len());
    for line in lines.iter().take(SHOWN) {
        // Writing to a string can't fail.
        let _ = writeln!(text, "  {line}");
    }
    if lines.len() > SHOWN {
        text.push_str("  …\n");
    }
    panic!("{text}");
}

fn compare(path: &str, left: &Entry, right: &Entry, lines: &mut Vec<String>) {
    if left.kind != right.kind {
        lines.push(format!("{path}: {:?} left, {:?} right", left.kind, right.kind));
        return;
    }
    if left.mode != right.mode {
        lines.push(format!("{path}: mode {:04o} left, {:04o} right", left.mode, right.mode));
    }
    let mut property = |name: &str, left: &dyn Debug, right: &dyn Debug| {
        let (left, right) = (format!("{left:?}"), format!("{right:?}"));
        if left != right {
            lines.push(format!("{path}: {name} {left} left, {right} right"));
        }
    };
    property("owner", &(left.uid, left.gid), &(right.uid, right.gid));
    property("size", &left.size, &right.size);
    property("mtime", &left.mtime, &right.mtime);
    property("device", &left.device, &right.device);
    property("target", &left.target, &right.target);
    property("content", &left.content, &right.content);
    property("hard link to", &left.linked_to, &right.linked_to);
    property("sparse", &left.sparse, &right.sparse);
    for name in left.xattrs.keys().chain(right.xattrs.keys().filter(|name| !left.xattrs.contains_key(*name))) {
        let shown = |entry: &Entry| entry.xattrs.get(name).map(|value| value.escape_ascii().to_string());
        property(&format!("attribute {}", name.escape_ascii()), &shown(left), &shown(right));
    }
}
