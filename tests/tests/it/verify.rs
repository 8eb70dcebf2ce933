//! Damage, found and repaired by the programs.

use std::fs;

use layer_testkit::debian_images::busybox;
use layer_testkit::registry::Registry;

use crate::service::{Daemon, run};

#[test]
fn root_damage_is_named_repaired_and_survives_no_pull() {
    let (mut daemon, registry) = (Daemon::start(), Registry::start().unwrap());
    let name = registry.put_image("lab/busybox", "1", &busybox().unwrap());
    daemon.layer(&["pull", "--quiet", &name]).ok();
    let said = daemon.layer(&["verify", &name]).ok();
    assert!(said.ends_with(": all is well"), "{said}");

    let layer = daemon.root().join("layers/sha256").join(&daemon.list("layers/sha256")[0]);
    let damage = || fs::write(layer.join("fs/etc/passwd"), "root::0:0:::\n").unwrap();
    damage();
    let ran = daemon.layer(&["verify", "--all"]);
    assert_eq!(ran.code, Some(1), "{}", ran.stdout);
    assert!(ran.stdout.contains("`/etc/passwd` has 13 bytes"), "{}", ran.stdout);
    assert!(ran.stdout.ends_with(": 1 part damaged\n"), "{}", ran.stdout);
    // The mark outlives the daemon, and a pull sees it.
    daemon.kill();
    daemon.again();
    let pulled = daemon.layer(&["pull", &name]).ok();
    assert!(!pulled.contains("Already exists"), "{pulled}");
    daemon.layer(&["verify", &name]).ok();

    damage();
    daemon.layer(&["verify", "--repair", &name]).ok();
    assert!(fs::read_to_string(layer.join("fs/etc/passwd")).unwrap().contains("nobody"));
    // The sums are plain ones.
    run(std::process::Command::new("sha256sum").arg("-c").arg("SHA256SUMS").current_dir(&layer)).ok();
}
