//! Debian's own registry (`docker-registry`), started for a test: the peer that shows that we speak to a real one.
//!
//! It listens on a free port of 127.0.0.1, keeps everything in a folder of its own and ends with the value that holds it.

mod htpasswd;
mod push;

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
pub use htpasswd::Htpasswd;
pub use push::push;

use crate::image::Image;
use crate::tls::{Authority, Identity};

const BINARY: &str = "/usr/bin/docker-registry";

/// Starting takes some 50 ms; a busy machine gets far longer.
const START_LIMIT: Duration = Duration::from_secs(30);

/// A running `docker-registry`; dropping it ends the process and removes its folder.
pub struct DebianRegistry {
    child: Child,
    address: SocketAddr,
    /// Removed when this value is dropped, after the process.
    folder: tempfile::TempDir,
}

impl DebianRegistry {
    /// Starts a registry that is open to all.
    ///
    /// # Errors
    /// The package is not installed, or the process doesn't come up; the error has the end of its log.
    pub fn start() -> Result<Self> {
        Self::start_with("")
    }

    /// Starts a registry with more sections of configuration, in YAML: `auth:` or `middleware:`, for example.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_with(sections: &str) -> Result<Self> {
        Self::start_in(tempfile::tempdir().context("make a folder for the registry")?, sections)
    }

    /// Starts a registry that is open to all, and keeps what it has in a folder of its own under `place`: for more than a temporary folder may
    /// have room for.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_under(place: &Path) -> Result<Self> {
        Self::start_in(tempfile::tempdir_in(place).context("make a folder for the registry")?, "")
    }

    /// Starts it anew on another port, with all that it holds: under TLS, and for those alone who show a certificate of `clients`, if any.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn with_tls(mut self, identity: &Identity, clients: Option<&Authority>) -> Result<Self> {
        self.stop();
        let folder = std::mem::replace(&mut self.folder, tempfile::tempdir().context("make a folder")?);
        let put = |name: &str, text: &str| -> Result<String> {
            let path = folder.path().join(name);
            fs::write(&path, text).with_context(|| format!("write `{name}`"))?;
            Ok(path.display().to_string())
        };
        let certificate = put("tls.crt", identity.certificate())?;
        let key = put("tls.key", identity.key())?;
        let mut sections = format!("  tls:\n    certificate: {certificate}\n    key: {key}\n");
        if let Some(clients) = clients {
            sections.push_str(&format!("    clientcas:\n      - {}\n", put("clients.crt", clients.pem())?));
        }
        Self::start_in(folder, &sections)
    }

    /// What it has logged so far, a line for each request among it.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    fn start_in(mut folder: tempfile::TempDir, sections: &str) -> Result<Self> {
        if !Path::new(BINARY).exists() {
            bail!("`{BINARY}` is missing: install the Debian package `docker-registry`");
        }
        // A port that was free a moment ago may be taken by another test.
        for _ in 0..4 {
            folder = match Self::attempt(folder, sections)? {
                Ok(running) => return Ok(running),
                Err(folder) => folder,
            };
        }
        bail!("no free port for `{BINARY}`")
    }

    fn attempt(folder: tempfile::TempDir, sections: &str) -> Result<Result<Self, tempfile::TempDir>> {
        let probe = TcpListener::bind("127.0.0.1:0").context("find a free port")?;
        let address = probe.local_addr().context("find a free port")?;
        drop(probe);
        let config = folder.path().join("config.yml");
        let text = format!(
            "version: 0.1\n\
             log:\n  level: warn\n\
             storage:\n  delete:\n    enabled: true\n  filesystem:\n    rootdirectory: {}\n\
             http:\n  addr: {address}\n{sections}\n",
            folder.path().join("storage").display()
        );
        fs::write(&config, text).context("write the registry's configuration")?;
        let log = folder.path().join("log");
        let output = File::create(&log).context("create the registry's log")?;
        let child = Command::new(BINARY)
            .arg("serve")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(output.try_clone().context("create the registry's log")?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("start `{BINARY}`"))?;
        let mut running = Self { child, address, folder };
        let begun = Instant::now();
        while TcpStream::connect(address).is_err() {
            let ended = running.child.try_wait().context("look at the registry")?;
            let text = fs::read_to_string(&log).unwrap_or_default();
            if ended.is_some() && text.contains("address already in use") {
                let spare = tempfile::tempdir().context("make a folder")?;
                return Ok(Err(std::mem::replace(&mut running.folder, spare)));
            }
            if ended.is_some() || begun.elapsed() > START_LIMIT {
                bail!("`{BINARY}` did not come up: {}", text.lines().last().unwrap_or("it said nothing"));
            }
            // Nothing tells when it listens, so its port is asked again and again.
            std::thread::sleep(Duration::from_millis(10));
        }
        if running.child.try_wait().context("look at the registry")?.is_some() {
            // Somebody else listens there.
            let spare = tempfile::tempdir().context("make a folder")?;
            return Ok(Err(std::mem::replace(&mut running.folder, spare)));
        }
        Ok(Ok(running))
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `127.0.0.1:<port>`, as the first part of an image's name.
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// The folder that holds its configuration, its log and its storage.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Pushes an image, or an index and all below it. Returns the name to pull it by.
    ///
    /// # Errors
    /// The registry refuses a part.
    pub fn put_image(&self, repository: &str, tag: &str, image: &Image) -> Result<String> {
        push(self.address, repository, tag, image, None)?;
        Ok(format!("{}/{repository}:{tag}", self.host()))
    }
}

impl DebianRegistry {
    fn stop(&mut self) {
        // It may have ended by itself; there is nothing else to do about either failure.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for DebianRegistry {
    fn drop(&mut self) {
        self.stop();
    }
}

#[cfg(test)]
mod tests {
    use super::DebianRegistry;
    use crate::http::get;
    use crate::image::{ImageBuilder, IndexBuilder};
    use crate::layer::{Compression, Entry, LayerBuilder};

    #[test]
    fn a_real_registry_takes_and_gives_back_an_index() {
        let registry = DebianRegistry::start().unwrap();
        let layer = |text: &str, compression| LayerBuilder::new().entry(Entry::file("f", text)).pack(compression);
        let oci = ImageBuilder::new().layers([layer("1", Compression::Zstd), layer("2", Compression::Plain)]).build();
        let docker = ImageBuilder::docker().platform("linux/arm64/v8").layer(layer("3", Compression::Gzip)).build();
        let index = IndexBuilder::new().image(&oci).image(&docker).attestation(&oci).build();
        let name = registry.put_image("some/name", "v1", &index).unwrap();
        assert_eq!(name, format!("{}/some/name:v1", registry.address()));
        let accept = [("Accept", index.top.media_type.as_str())];
        let answer = get(registry.address(), "/v2/some/name/manifests/v1", &accept).unwrap();
        assert_eq!((answer.status, answer.body), (200, index.top.bytes.clone()));
        for blob in &index.blobs {
            let answer = get(registry.address(), &format!("/v2/some/name/blobs/{}", blob.digest), &[]).unwrap();
            assert_eq!(answer.body, blob.content.to_vec().unwrap());
        }
        let (address, folder) = (registry.address(), registry.folder().to_owned());
        drop(registry);
        assert!(std::net::TcpStream::connect(address).is_err() && !folder.exists());
    }

    #[test]
    fn a_registry_that_refuses_says_what() {
        let registry = DebianRegistry::start().unwrap();
        let image = ImageBuilder::new().layer(LayerBuilder::new().gzip()).build();
        let error = format!("{:#}", registry.put_image("UPPER", "v1", &image).unwrap_err());
        assert!(error.contains("UPPER") && error.contains("404"), "{error}");
        let Err(error) = DebianRegistry::start_with("nonsense: [") else { panic!("it started") };
        assert!(error.to_string().contains("did not come up"), "{error}");
    }
}
