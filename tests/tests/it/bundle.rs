//! Bundles, started by a real runtime.

use std::process::Command;

use layer_testkit::debian_images::{busybox_layer, host_platform};
use layer_testkit::image::ImageBuilder;
use layer_testkit::layer::LayerBuilder;
use layer_testkit::registry::Registry;

use crate::service::{Daemon, run};

#[test]
fn root_a_runtime_starts_the_image_as_its_user() {
    let (daemon, registry) = (Daemon::start(), Registry::start().unwrap());
    let accounts = LayerBuilder::new()
        .file("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nworker:x:1234:1235::/:/bin/sh\n")
        .file("etc/group", "root:x:0:\nworker:x:1235:\ntools:x:1300:worker\n");
    let script = "id -u; id -g; id -G; pwd; echo $GREETING; echo kept > /tmp/file; cat /tmp/file; hostname";
    let image = ImageBuilder::new()
        .platform(&host_platform())
        .layer(busybox_layer().unwrap())
        .layer(accounts.gzip())
        .container("User", "worker")
        .container("WorkingDir", "/tmp")
        .container("Env", vec!["PATH=/bin:/usr/bin", "GREETING=hello"])
        .container("Entrypoint", vec!["/bin/sh", "-c"])
        .cmd(&[script])
        .build();
    let name = registry.put_image("lab/tool", "1", &image);
    daemon.layer(&["pull", "--quiet", &name]).ok();
    let bundle = daemon.path("bundle");
    let folder = bundle.to_str().unwrap();
    assert_eq!(daemon.layer(&["bundle", &name, folder]).ok(), folder);

    let id = format!("layerd-test-{}", std::process::id());
    let state = daemon.path("runc");
    let mut runc = Command::new("runc");
    let out = run(runc.arg("--root").arg(&state).args(["run", "--bundle", folder, &id])).ok();
    let hostname = &image.digest()["sha256:".len()..][..12];
    assert_eq!(out, format!("1234\n1235\n1235 1300\n/tmp\nhello\nkept\n{hostname}"));
    // What was written is in the mount, and goes with it.
    assert_eq!(std::fs::read_to_string(bundle.join("rootfs/tmp/file")).unwrap(), "kept\n");
    daemon.layer(&["umount", &format!("{folder}/rootfs")]).ok();
    assert_eq!(std::fs::read_dir(bundle.join("rootfs")).unwrap().count(), 0);
}
