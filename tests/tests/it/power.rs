//! The power goes. What was reported as done is there afterwards, and what was being done is done as if it had not begun.
//!
//! The store lies on a file system that is shut down in an instant (the ioctl `FS_IOC_SHUTDOWN`, without writing its journal out): what no sync
//! has covered is lost, as it is when a machine stops. The daemon on it is killed, the file system mounted again, and the next daemon started.

use layer_fs::Dir;

use crate::crash::chance::Chance;
use crate::crash::world::{Deed, World};
use crate::disk::{Disk, Kind};
use crate::service::Daemon;

const DEEDS: [Deed; 6] = [Deed::Pull, Deed::Pull, Deed::Load, Deed::Tag, Deed::Remove, Deed::Prune];

fn cut(kind: Kind) {
    let daemon = Daemon::prepare();
    let disk = Disk::mount(kind, 400 << 20, &daemon.root());
    let mut world = World::on(daemon, Some(disk));
    let mut chance = Chance::new();
    for deed in DEEDS.repeat(2) {
        world.round_when_done(deed, &mut chance);
    }
    for deed in DEEDS.repeat(3) {
        world.round_within(deed, &mut chance);
    }
    println!("{kind:?}: {} rounds, seed {}: {}", DEEDS.len() * 5, chance.seed, world.told());
}

/// The kernel calls a folder of such a file system synced, though it never will be.
fn nothing_is_synced_on_what_is_gone(kind: Kind) {
    let place = tempfile::tempdir().unwrap();
    let disk = Disk::mount(kind, 400 << 20, place.path());
    let dir = Dir::open(place.path()).unwrap();
    dir.ensure_dir("before", 0o700).unwrap();
    dir.sync().unwrap();
    dir.ensure_dir("after", 0o700).unwrap();
    disk.cut();
    dir.sync().unwrap_err();
    dir.sync_filesystem().unwrap_err();
    drop(dir);
    disk.again();
    assert!(place.path().join("before").exists());
}

#[test]
fn root_nothing_is_synced_on_an_ext4_that_is_gone() {
    nothing_is_synced_on_what_is_gone(Kind::Ext4);
}

#[test]
fn root_nothing_is_synced_on_an_xfs_that_is_gone() {
    nothing_is_synced_on_what_is_gone(Kind::Xfs);
}

#[test]
fn root_power_is_cut_on_ext4() {
    cut(Kind::Ext4);
}

#[test]
fn root_power_is_cut_on_xfs() {
    cut(Kind::Xfs);
}
