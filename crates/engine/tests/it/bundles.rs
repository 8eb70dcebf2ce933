//! Bundles for OCI runtimes.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use layer_engine::{BundleInfo, BundleRequest, EngineError, Kind};
use layer_testkit::image::{Image, ImageBuilder};
use layer_testkit::layer::{Entry, LayerBuilder};
use serde_json::{Value, json};

use crate::setup::{Mounted, Setup};

fn image(user: &str) -> Image {
    let layer = LayerBuilder::new()
        .dir("etc")
        .file("usr/lib/passwd", "root:x:0:0::/:\napp:x:1000:1001::/:\n")
        .symlink("etc/passwd", "/usr/lib/passwd")
        .file("etc/group", "wheel:x:10:app\n")
        .entry(Entry::file("bin/su", "").mode(0o4755));
    ImageBuilder::new()
        .layer(layer.gzip())
        .container("User", user)
        .container("Entrypoint", vec!["/bin/app", "--serve"])
        .container("WorkingDir", "/srv")
        .container("Labels", json!({ "team": "blue" }))
        .container("StopSignal", "SIGINT")
        .cmd(&["all"])
        .build()
}

async fn bundle(setup: &Setup, image: &str, target: &Path) -> Result<(BundleInfo, Mounted), EngineError> {
    let request = BundleRequest { image: image.to_owned(), platform: None, target: target.to_owned() };
    let made = setup.engine.bundle(request).await?;
    let mounted = Mounted::new(made.mount.clone());
    Ok((made, mounted))
}

#[tokio::test(flavor = "multi_thread")]
async fn root_a_bundle_says_what_the_image_says() {
    let setup = Setup::new().await;
    let name = setup.bring("team/app", &image("app")).await;
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("bundle");
    let (made, _mounted) = bundle(&setup, &name, &target).await.unwrap();
    assert_eq!((&made.target, &made.mount.target), (&target, &target.join("rootfs")));
    assert_eq!(fs::metadata(&target).unwrap().permissions().mode() & 0o7777, 0o700);
    let config: Value = serde_json::from_slice(&fs::read(target.join("config.json")).unwrap()).unwrap();
    let process = &config["process"];
    assert_eq!(process["args"], json!(["/bin/app", "--serve", "all"]));
    assert_eq!(process["user"], json!({ "uid": 1000, "gid": 1001, "additionalGids": [10] }));
    assert_eq!((&process["cwd"], &process["terminal"]), (&json!("/srv"), &json!(false)));
    assert!(process["env"][0].as_str().unwrap().starts_with("PATH=/usr/local/sbin:"));
    assert_eq!(config["root"], json!({ "path": "rootfs", "readonly": false }));
    assert_eq!(config["annotations"]["team"], "blue");
    assert_eq!(config["annotations"]["org.opencontainers.image.stopSignal"], "SIGINT");
    for (what, mount) in [("proc", "/proc"), ("tmpfs", "/dev"), ("sysfs", "/sys")] {
        let mounts = config["mounts"].as_array().unwrap();
        assert!(mounts.iter().any(|one| one["type"] == what && one["destination"] == mount), "{mount}");
    }
    assert!(config["linux"]["maskedPaths"].as_array().unwrap().contains(&json!("/proc/kcore")));
    // It can be written to, and what a runtime needs is not forbidden.
    fs::write(target.join("rootfs/new"), "").unwrap();
    let flags = rustix::fs::statvfs(target.join("rootfs")).unwrap().f_flag;
    assert!(!flags.intersects(rustix::fs::StatVfsMountFlags::NOSUID | rustix::fs::StatVfsMountFlags::NODEV));
    // It is a mount like all others.
    assert_eq!(setup.engine.mounts().await, [made.mount]);
    assert_eq!(setup.engine.remove(&name, true).await.unwrap_err().kind(), Kind::Conflict);
    setup.engine.unmount(target.join("rootfs").to_str().unwrap()).await.unwrap();
    assert_eq!(fs::read_dir(target.join("rootfs")).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn root_what_can_not_be_a_bundle_is_refused_and_leaves_no_mount() {
    let setup = Setup::new().await;
    let name = setup.bring("team/app", &image("app")).await;
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str, mode: u32| {
        let path = folder.path().join(name);
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    };
    let (open, made, full) = (at("open", 0o755), at("made", 0o700), at("full", 0o700));
    fs::write(made.join("config.json"), "mine").unwrap();
    fs::create_dir_all(full.join("rootfs/bin")).unwrap();
    for (target, words) in [
        (open, "set-user-ID programs"),
        (made.clone(), "`config.json` in it already"),
        (full, "`rootfs` is not empty"),
        (folder.path().join("no/such"), "no folder to make it in"),
        (setup.store().join("bundle"), "in the store"),
        ("relative".into(), "absolute"),
    ] {
        let error = bundle(&setup, &name, &target).await.map(drop).unwrap_err();
        assert_eq!(error.kind(), Kind::Invalid, "{error}");
        assert!(error.to_string().contains(words), "{error}");
    }
    assert_eq!(fs::read_to_string(made.join("config.json")).unwrap(), "mine");
    let stranger = setup.bring("team/stranger", &image("nobody-knows")).await;
    let target = folder.path().join("stranger");
    let error = bundle(&setup, &stranger, &target).await.map(drop).unwrap_err();
    assert_eq!(error.to_string(), "the image runs as `nobody-knows`: its `/etc/passwd` has no user `nobody-knows`");
    assert!(setup.engine.mounts().await.is_empty());
    assert!(!target.join("config.json").exists());
    assert_eq!(fs::read_dir(setup.store().join("mounts")).unwrap().count(), 0);
}
