//! The unit files, judged by systemd.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::daemon::LAYERD;

fn units() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../systemd").canonicalize().unwrap()
}

/// Runs a program of systemd, and expects it to have nothing to say.
fn accepts(program: &str, args: &[&str]) {
    let output = Command::new(program).args(args).output().expect("systemd's programs are installed");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{program} {args:?}: {said}");
}

#[test]
fn systemd_accepts_the_units() {
    let folder = tempfile::tempdir().unwrap();
    // It wants the program to be where the unit says.
    for name in ["layerd.service", "layerd.socket"] {
        let text = std::fs::read_to_string(units().join(name)).unwrap().replace("/usr/local/bin/layerd", LAYERD);
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let [service, socket] = ["layerd.service", "layerd.socket"].map(|name| folder.path().join(name));
    accepts("systemd-analyze", &["verify", service.to_str().unwrap(), socket.to_str().unwrap()]);
}

#[test]
fn systemd_makes_the_folders() {
    let root = tempfile::tempdir().unwrap();
    let option = format!("--root={}", root.path().display());
    accepts("systemd-tmpfiles", &[&option, "--create", units().join("layerd.tmpfiles").to_str().unwrap()]);
    for (folder, mode) in [("run/layerd", 0o755), ("var/lib/layerd", 0o700)] {
        use std::os::unix::fs::PermissionsExt as _;
        let metadata = std::fs::metadata(root.path().join(folder)).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o7777, mode, "{folder}");
    }
}

#[test]
fn systemd_makes_the_group() {
    let root = tempfile::tempdir().unwrap();
    std::fs::create_dir(root.path().join("etc")).unwrap();
    let option = format!("--root={}", root.path().display());
    let output = Command::new("systemd-sysusers").arg(option).arg(units().join("layerd.sysusers")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let groups = std::fs::read_to_string(root.path().join("etc/group")).unwrap();
    assert!(groups.lines().any(|line| line.starts_with("layerd:")), "{groups}");
}

/// Mounts must be seen by all, so that the daemon may have no mount namespace of its own.
#[test]
fn no_option_hides_the_mounts() {
    let text = std::fs::read_to_string(units().join("layerd.service")).unwrap();
    let options: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
    for word in ["Private", "Protect", "Paths=", "RootDirectory", "RootImage", "DynamicUser", "TemporaryFileSystem"] {
        assert!(!options.iter().any(|line| line.contains(word)), "{word}");
    }
    // Layers have set-user-ID files.
    assert!(!options.iter().any(|line| line.starts_with("RestrictSUIDSGID")));
}
