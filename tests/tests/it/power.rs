//! The power goes. What was reported as done is there afterwards, and what was being done is done as if it had not begun.
//!
//! The store lies on a file system that is shut down in an instant (the ioctl `FS_IOC_SHUTDOWN`, without writing its journal out): what no sync
//! has covered is lost, as it is when a machine stops. The daemon on it is killed, the file system mounted again, and the next daemon started.

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

#[test]
fn root_power_is_cut_on_ext4() {
    cut(Kind::Ext4);
}

#[test]
fn root_power_is_cut_on_xfs() {
    cut(Kind::Xfs);
}
