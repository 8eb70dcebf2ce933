//! Who keeps a mount busy: an answer for people, as good as `/proc` lets it be.

use std::io::{self, Read as _};
use std::os::fd::AsFd;
use std::path::Path;

use layer_fs::Dir;
use rustix::fs::{AtFlags, CWD, StatxFlags};

/// Enough names to act on.
const MAX_NAMED: usize = 5;

/// The programs that use the mount whose root is `target`, and mounts inside of it. It may find nobody: a mapped file, a process in
/// another namespace of processes, or one that left meanwhile.
pub(crate) fn of(target: &Path) -> Vec<String> {
    let Some(mount) = mount_id(CWD, target) else { return Vec::new() };
    let Ok(proc) = Dir::open(Path::new("/proc")) else { return Vec::new() };
    let mut found = mounts_inside(&proc, mount).unwrap_or_default();
    processes(&proc, mount, &mut found);
    found
}

fn processes(proc: &Dir, mount: u64, found: &mut Vec<String>) {
    let Ok(entries) = proc.entries() else { return };
    for (name, _) in entries {
        if found.len() >= MAX_NAMED {
            return;
        }
        let Ok(pid) = name.to_str() else { continue };
        if !pid.bytes().all(|byte| byte.is_ascii_digit()) {
            continue;
        }
        // Processes end while we look.
        let Ok(process) = proc.open_dir(pid) else { continue };
        if let Some(how) = use_of(&process, mount) {
            let program = process.read("comm", 64).unwrap_or_default();
            found.push(format!("`{}` (pid {pid}) {how}", String::from_utf8_lossy(program.trim_ascii_end())));
        }
    }
}

/// How a process uses the mount, if it does.
fn use_of(process: &Dir, mount: u64) -> Option<&'static str> {
    for (link, how) in [("cwd", "works in it"), ("root", "has it as its root"), ("exe", "runs from it")] {
        if mount_id(process, link) == Some(mount) {
            return Some(how);
        }
    }
    let open = process.open_dir("fd").ok()?;
    let entries = open.entries().ok()?;
    entries.iter().any(|(fd, _)| mount_id(&open, fd.as_c_str()) == Some(mount)).then_some("has a file of it open")
}

/// The mount that a path leads to. Links of `/proc` are meant to be followed here: they lead to the object itself, whatever its name.
fn mount_id(at: impl AsFd, path: impl rustix::path::Arg) -> Option<u64> {
    // Asks the local kernel only: a dead file server must not stop us.
    let flags = AtFlags::STATX_DONT_SYNC | AtFlags::NO_AUTOMOUNT;
    let statx = rustix::fs::statx(at, path, flags, StatxFlags::MNT_ID).ok()?;
    (statx.stx_mask & StatxFlags::MNT_ID.bits() != 0).then_some(statx.stx_mnt_id)
}

/// What is mounted inside of the mount, from the table of this process: lines of `ID PARENT MAJOR:MINOR ROOT WHERE …`.
fn mounts_inside(proc: &Dir, mount: u64) -> io::Result<Vec<String>> {
    // Long tables are cut: this is only to help.
    const CAP: u64 = 1 << 20;
    let mut table = Vec::new();
    proc.open_file("self/mountinfo")?.take(CAP).read_to_end(&mut table)?;
    let inside = table.split(|byte| *byte == b'\n').filter_map(|line| {
        let mut fields = line.split(|byte| *byte == b' ').skip(1);
        let parent: u64 = std::str::from_utf8(fields.next()?).ok()?.parse().ok()?;
        let place = fields.nth(2)?;
        (parent == mount).then(|| format!("`{}` is mounted in it", String::from_utf8_lossy(place)))
    });
    Ok(inside.take(MAX_NAMED).collect())
}
