//! Certificates that a registry's folder brings: authorities to trust, and what to show when the registry asks who we are.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use super::error::HostConfigError;
use super::watch::Watch;

/// The most bytes of a file with certificates. The bundle of all authorities of the web has a quarter of a megabyte.
const MAX_FILE: u64 = 4 << 20;

/// The files that a registry's trust rests on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct TlsFiles {
    /// Authorities, in PEM.
    pub(super) authorities: Vec<PathBuf>,
    /// Client certificates and their keys; the same file twice if it holds both.
    pub(super) pairs: Vec<(PathBuf, PathBuf)>,
    /// Whether the other side's certificate is taken unseen; nothing if nobody said so.
    pub(super) skip_verify: Option<bool>,
}

/// What a connection is to trust and to show, beyond what all connections do.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trust {
    /// Authorities, with the file that each came from.
    pub(crate) authorities: Vec<(PathBuf, CertificateDer<'static>)>,
    pub(crate) identities: Vec<Arc<CertifiedKey>>,
    pub(crate) skip_verify: Option<bool>,
}

impl TlsFiles {
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The files of `folder` in docker's layout: `*.crt` are authorities, `*.cert` and `*.key` are pairs.
    pub(super) fn of_folder(folder: &Path) -> Result<Self, HostConfigError> {
        let failed = |source| HostConfigError::Read { path: folder.to_owned(), source };
        let mut paths: Vec<PathBuf> = match fs::read_dir(folder) {
            Ok(entries) => entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>(),
            // A file of that name holds no certificates.
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => Ok(Vec::new()),
            Err(error) => Err(error),
        }
        .map_err(failed)?;
        // In one order on every machine.
        paths.sort_unstable();
        let mut files = Self::default();
        for path in &paths {
            match path.extension().and_then(|extension| extension.to_str()) {
                Some("crt") => files.authorities.push(path.clone()),
                Some("cert") => files.pairs.push((path.clone(), partner(&paths, path, "key")?)),
                Some("key") => drop(partner(&paths, path, "cert")?),
                _ => {}
            }
        }
        Ok(files)
    }

    /// Reads them.
    pub(super) fn read(&self, watch: &mut Watch) -> Result<Trust, HostConfigError> {
        let mut trust = Trust { skip_verify: self.skip_verify, ..Trust::default() };
        for path in &self.authorities {
            let found = certificates(path, &read(path, watch)?)?;
            trust.authorities.extend(found.into_iter().map(|certificate| (path.clone(), certificate)));
        }
        for (certificate, key) in &self.pairs {
            trust.identities.push(Arc::new(identity(certificate, key, watch)?));
        }
        Ok(trust)
    }
}

/// The file beside `path` that makes a pair with it.
fn partner(paths: &[PathBuf], path: &Path, extension: &str) -> Result<PathBuf, HostConfigError> {
    let wanted = path.with_extension(extension);
    if paths.contains(&wanted) {
        return Ok(wanted);
    }
    let missing = wanted.file_name().map(PathBuf::from).unwrap_or_default();
    Err(HostConfigError::Unpaired { path: path.to_owned(), missing })
}

/// A whole file of the administrator's.
pub(super) fn read(path: &Path, watch: &mut Watch) -> Result<Vec<u8>, HostConfigError> {
    watch.note(path);
    let failed = |source| HostConfigError::Read { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    fs::File::open(path).map_err(failed)?.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(HostConfigError::TooLarge { path: path.to_owned(), limit: MAX_FILE });
    }
    Ok(bytes)
}

fn certificates(path: &Path, bytes: &[u8]) -> Result<Vec<CertificateDer<'static>>, HostConfigError> {
    let unusable = |reason: String| HostConfigError::Unusable { path: path.to_owned(), reason };
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(bytes).collect();
    match found {
        Ok(found) if found.is_empty() => Err(unusable("holds no certificate in PEM form".to_owned())),
        Ok(found) => Ok(found),
        Err(error) => Err(unusable(format!("is no proper PEM: {error}"))),
    }
}

fn identity(certificate: &Path, key: &Path, watch: &mut Watch) -> Result<CertifiedKey, HostConfigError> {
    let unusable = |path: &Path, reason: String| HostConfigError::Unusable { path: path.to_owned(), reason };
    let chain = certificates(certificate, &read(certificate, watch)?)?;
    let found = PrivateKeyDer::from_pem_slice(&read(key, watch)?)
        // The parser's words never hold what it read.
        .map_err(|_| unusable(key, "holds no private key in PEM form".to_owned()))?;
    let provider = rustls::crypto::ring::default_provider();
    let found = provider
        .key_provider
        .load_private_key(found)
        .map_err(|_| unusable(key, "holds a private key of a kind that is not supported".to_owned()))?;
    let pair = CertifiedKey::new(chain, found);
    match pair.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => Ok(pair),
        Err(rustls::Error::InconsistentKeys(_)) => {
            Err(HostConfigError::WrongPair { certificate: certificate.to_owned(), key: key.to_owned() })
        }
        Err(error) => Err(unusable(certificate, format!("holds a certificate that can't be used: {error}"))),
    }
}
