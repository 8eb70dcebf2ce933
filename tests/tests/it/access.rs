//! Who gets at what: the store is root's alone, the socket its group's, whatever the umask of whoever starts the daemon.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::Command;

use layer_testkit::image::ImageBuilder;
use layer_testkit::layer::{Entry, LayerBuilder};
use layer_testkit::registry::Registry;

use crate::service::{Daemon, run};

/// A stranger to the machine.
const NOBODY: &str = "65534";

/// Runs a command as nobody, and gives what it printed.
fn as_nobody(command: &str, path: &Path) -> String {
    let mut shell = Command::new("setpriv");
    shell.args(["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups", "sh", "-c", command, "sh"]).arg(path);
    run(&mut shell).stdout
}

#[test]
fn root_nobody_reads_anything_in_the_store_whatever_the_umask() {
    let registry = Registry::start().unwrap();
    let layer = LayerBuilder::new()
        .dir("bin")
        .entry(Entry::file("bin/su", "#!/bin/sh\nid -u\n").mode(0o4755))
        .entry(Entry::file("secret", "for root").mode(0o600))
        .entry(Entry::file("open", "for all").mode(0o666))
        .gzip();
    let image = ImageBuilder::new().layer(layer).build();
    let name = registry.put_image("lab/setuid", "1", &image);
    for umask in ["0000", "0022", "0777"] {
        let mut daemon = Daemon::prepare();
        // The way to the store is open: it is the store itself that must be shut.
        fs::set_permissions(daemon.path("."), fs::Permissions::from_mode(0o755)).unwrap();
        let inner = daemon.command();
        let mut command = Command::new("sh");
        command
            .args(["-c", &format!("umask {umask}; exec \"$0\" \"$@\"")])
            .arg(inner.get_program())
            .args(inner.get_args());
        for (key, value) in inner.get_envs() {
            match value {
                Some(value) => command.env(key, value),
                None => command.env_remove(key),
            };
        }
        command.args(["--group", "daemon"]);
        daemon.launch(&mut command);
        daemon.layer(&["pull", "--quiet", &name]).ok();
        let mounted = daemon.layer(&["mount", &name]).ok();
        for folder in ["", "blobs", "blobs/sha256", "layers", "layers/sha256", "ingest", "staging", "mounts", "db"] {
            let meta = fs::metadata(daemon.root().join(folder)).unwrap();
            assert_eq!((meta.permissions().mode() & 0o7777, meta.uid()), (0o700, 0), "umask {umask}: `{folder}`");
        }
        for file in ["index.json", "format", "lock", "oci-layout"] {
            let mode = fs::metadata(daemon.root().join(file)).unwrap().permissions().mode();
            assert_eq!(mode & 0o177, 0, "umask {umask}: `{file}`");
        }
        // The set-user-ID program is there, as the image has it.
        let hex = image.layers[0].diff_id.replace("sha256:", "");
        let program = daemon.root().join("layers/sha256").join(hex).join("fs/bin/su");
        assert_eq!(fs::metadata(&program).unwrap().permissions().mode() & 0o7777, 0o4755, "umask {umask}");
        // Nobody finds it, nor anything else, by walking or by knowing the path; in the mount, neither.
        let root = daemon.root();
        let found = as_nobody("find \"$1\" -mindepth 1 2>/dev/null", &root);
        assert_eq!(found, "", "umask {umask}");
        assert_eq!(
            as_nobody("find \"$1\" -maxdepth 0", &root).trim_end(),
            root.to_str().unwrap(),
            "the walk itself works"
        );
        assert_eq!(as_nobody("\"$1\"; cat \"$1\"; stat \"$1\"", &program), "", "umask {umask}");
        assert_eq!(as_nobody("\"$1\"/bin/su; cat \"$1\"/open", Path::new(&mounted)), "", "umask {umask}");
        assert_eq!(as_nobody("cat \"$1\"", &root.join("index.json")), "", "umask {umask}");
        let meta = fs::metadata(daemon.socket()).unwrap();
        assert_eq!(meta.permissions().mode() & 0o7777, 0o660, "umask {umask}");
        assert_ne!(meta.gid(), 0, "umask {umask}");
        daemon.layer(&["umount", &mounted]).ok();
    }
}
