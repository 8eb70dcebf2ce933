//! Layers made at random: proper ones, and ones that nobody should have made.

use std::collections::BTreeMap;

use layer_testkit::layer::{Entry, LayerBuilder, SparseForm, noise};
use proptest::prelude::*;

/// What one entry may be, by number; the numbers are what is chosen at random.
#[derive(Clone, Debug)]
struct Draft {
    path: Vec<usize>,
    kind: u8,
    seed: u64,
    mode: u32,
    owner: (i64, i64),
    mtime: (i64, u32),
    attribute: bool,
    gnu: bool,
    order: u32,
}

fn draft() -> impl Strategy<Value = Draft> {
    let owner = || prop_oneof![3 => Just(0i64), 1 => 1..100_000i64, 1 => 2_097_150..4_294_967_295i64];
    let mtime = prop_oneof![1 => Just((0i64, 0u32)), 2 => (-1_000_000_000i64..9_000_000_000, Just(0)), 1 => (-5i64..5, 0..1_000_000_000u32)];
    (
        prop::collection::vec(0..6usize, 1..4),
        0..20u8,
        any::<u64>(),
        prop_oneof![2 => Just(0o644u32), 3 => 0..0o10000u32],
        (owner(), owner()),
        mtime,
        prop::bool::weighted(0.2),
        prop::bool::weighted(0.3),
        any::<u32>(),
    )
        .prop_map(|(path, kind, seed, mode, owner, mtime, attribute, gnu, order)| Draft {
            path,
            kind,
            seed,
            mode,
            owner,
            mtime,
            attribute,
            gnu,
            order,
        })
}

const NAMES: [&str; 6] = [
    "a",
    "b",
    "c-d",
    "\u{e9} x",
    "e.",
    "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn",
];

/// A layer that every reader takes for the same: each name once, or files again as files; folders before, behind or without their content.
pub(crate) fn proper() -> impl Strategy<Value = Vec<Entry>> {
    prop::collection::vec(draft(), 0..25).prop_map(|drafts| {
        let mut placed: BTreeMap<String, Draft> = BTreeMap::new();
        for draft in drafts {
            let path = draft.path.iter().map(|name| NAMES[*name]).collect::<Vec<_>>().join("/");
            let is_folder = |draft: &Draft| draft.kind < 6;
            let inside = |inner: &str, outer: &str| inner.strip_prefix(outer).is_some_and(|rest| rest.starts_with('/'));
            let clash = placed.iter().any(|(other, there)| {
                inside(&path, other) && !is_folder(there)
                    || inside(other, &path) && !is_folder(&draft)
                    || *other == path
            });
            if !clash {
                placed.insert(path, draft);
            }
        }
        let mut order: Vec<_> = placed.into_iter().collect();
        order.sort_by_key(|(_, draft)| draft.order);
        let mut files: Vec<String> = Vec::new();
        let mut entries = Vec::new();
        for (path, draft) in order {
            entries.extend(entry(&path, &draft, &files));
            if (6..12).contains(&draft.kind) {
                files.push(path);
            }
        }
        entries
    })
}

/// Where links lead: not up and not to the root, because GNU tar makes such links at its end, and the time of their folder is then that of the day.
const RELATIVE: [&str; 4] = ["x", "a/b", "./.", "c-d"];

fn entry(path: &str, draft: &Draft, files: &[String]) -> Vec<Entry> {
    let seed = usize::try_from(draft.seed % 65_536).unwrap();
    let attributes = |entry: Entry, user: bool| {
        let entry =
            entry.mode(draft.mode).owner(draft.owner.0, draft.owner.1).mtime_nanos(draft.mtime.0, draft.mtime.1);
        match (draft.attribute, draft.gnu) {
            (true, _) if user => entry.xattr("user.name", noise(draft.seed, seed % 50)).xattr("trusted.other", ""),
            (true, _) => entry.xattr("trusted.other", "1"),
            (false, true) => entry.gnu().mtime(draft.mtime.0),
            (false, false) => entry,
        }
    };
    let block = |at: u64| noise(draft.seed + at, 512);
    vec![match draft.kind {
        0..6 => attributes(Entry::dir(path), true),
        6..10 => {
            let file = attributes(Entry::file(path, noise(draft.seed, seed % 3000)), true);
            // Sometimes there is an older version of it in the same layer, which may have got another name already.
            return if draft.kind == 9 { vec![Entry::file(path, "older"), file] } else { vec![file] };
        }
        10 => {
            Entry::sparse(path, SparseForm::OldGnu, 1 << 16, &[(4096, &block(1)), (40_960, &block(2))]).mode(draft.mode)
        }
        11 => Entry::sparse(path, SparseForm::Pax10, 50_000, &[(8192, &block(1)), (49_152, &block(2)[..seed % 512])]),
        12 | 13 => attributes(Entry::symlink(path, RELATIVE[seed % 4]), false),
        14 => attributes(Entry::fifo(path), false),
        15 => attributes(Entry::char_device(path, 1 + draft.mode % 4095, 5), false),
        16 => attributes(Entry::block_device(path, 7, draft.mode), false),
        _ if files.is_empty() => Entry::symlink(path, "none"),
        _ => Entry::hard_link(path, &files[seed % files.len()]),
    }]
}

/// Any path that means harm, made of a few names so that they meet.
fn hostile_path(outside: &str) -> impl Strategy<Value = String> + use<> {
    let names = [
        "a",
        "b",
        "l",
        "..",
        ".",
        "",
        ".wh.a",
        ".wh.b",
        ".wh..wh..opq",
        ".wh.",
        ".wh..",
        ".wh..wh.plnk",
        "canary",
        "folder",
        "etc",
    ];
    let inner = prop::collection::vec(prop::sample::select(names.to_vec()), 1..4).prop_map(|names| names.join("/"));
    let outside = outside.to_owned();
    (inner, prop::sample::select(vec!["", "", "", "", "/", "OUTSIDE", "../outside", "./", "/proc/self/root/"]))
        .prop_map(move |(inner, front)| match front {
            "OUTSIDE" => format!("{outside}/{inner}"),
            front if front.ends_with("outside") => format!("{front}/{inner}"),
            front => format!("{front}{inner}"),
        })
}

/// A layer with an aim outside.
pub(crate) fn hostile(outside: &str) -> impl Strategy<Value = Vec<Entry>> + use<> {
    let entry = (hostile_path(outside), hostile_path(outside), 0..12u8, any::<u16>()).prop_map(
        |(path, target, kind, number)| {
            let entry = match kind {
                0..3 => Entry::symlink(&path, &target),
                3 | 4 => Entry::hard_link(&path, &target),
                5 | 6 => Entry::dir(&path),
                7 => Entry::fifo(&path),
                8 => Entry::char_device(&path, u32::from(number % 2), u32::from(number / 2 % 2)),
                9 => Entry::whiteout(path.trim_end_matches('/')),
                10 => Entry::opaque(&path),
                _ => Entry::file(&path, "evil"),
            };
            let entry = entry.mode(0o7777 & u32::from(number)).owner(i64::from(number % 3), 1).mtime(i64::from(number));
            match number % 7 {
                0 => entry.xattr("trusted.overlay.opaque", "y").xattr("trusted.overlay.redirect", "/etc"),
                1 => entry.xattr("user.overlay.metacopy", "").xattr("trusted.x", "1"),
                2 => entry.gnu(),
                _ => entry,
            }
        },
    );
    prop::collection::vec(entry, 1..14)
}

/// Where bytes of a tar are changed, and to what.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    at: prop::sample::Index,
    byte: u8,
    /// Whether the checksums are made good again, so that the change is looked at.
    seal: bool,
    /// Whether the byte falls into the header of an entry.
    header: bool,
}

pub(crate) fn changes() -> impl Strategy<Value = Vec<Change>> {
    let byte = prop_oneof![4 => prop::sample::select(b"\0 /.01257xLKgS\n=\x80\xff".to_vec()), 1 => any::<u8>()];
    let change = (any::<prop::sample::Index>(), byte, prop::bool::weighted(0.9), prop::bool::weighted(0.7));
    prop::collection::vec(change.prop_map(|(at, byte, seal, header)| Change { at, byte, seal, header }), 1..6)
}

/// Makes the changes.
pub(crate) fn changed(mut tar: Vec<u8>, changes: &[Change]) -> Vec<u8> {
    let is_header = |block: &[u8]| block.len() == 512 && block[257..].starts_with(b"ustar");
    for change in changes {
        let headers: Vec<usize> =
            tar.chunks(512).enumerate().filter(|(_, block)| is_header(block)).map(|(at, _)| at * 512).collect();
        let at = if change.header && !headers.is_empty() {
            let at = change.at.index(headers.len() * 512);
            headers[at / 512] + at % 512
        } else {
            change.at.index(tar.len())
        };
        tar[at] = change.byte;
        let block = at / 512 * 512;
        if change.seal && block + 512 <= tar.len() && headers.contains(&block) {
            let header = &mut tar[block..block + 512];
            header[148..156].fill(b' ');
            let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
            header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
    }
    tar
}

pub(crate) fn tar_of(entries: &[Entry]) -> Vec<u8> {
    LayerBuilder::new().entries(entries.iter().cloned()).tar()
}

/// How many cases a property that works on a disk is tried with; `PROPTEST_CASES` asks for more.
pub(crate) fn config(cases: u32) -> ProptestConfig {
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok());
    // Failures are printed in full; files of seeds would grow stale with every change of a strategy.
    ProptestConfig { cases: asked.unwrap_or(cases), failure_persistence: None, ..ProptestConfig::default() }
}
