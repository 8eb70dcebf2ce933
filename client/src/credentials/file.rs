//! A file of logins, in the form that docker's `config.json` and podman's `auth.json` share.
//!
//! | member | what it holds |
//! |---|---|
//! | `auths` | a login for each key: `auth` (base64 of `user:password`) or both in the clear, `identitytoken`, `registrytoken` |
//! | `credHelpers` | a credential helper for each key |
//! | `credsStore` | the credential helper for all other registries |
//!
//! Whatever else is in it stays as it is.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, fchown};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use layer_proto::{AuthConfig, Secret};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::CredentialsError;
use super::helper::Helper;
use super::key::{Dialect, Registry, Wanted};
use super::members::Members;
use super::places::Place;

/// The largest file that is read. One with a hundred logins has some ten thousand bytes.
const MAX_FILE: u64 = 4 << 20;

/// How many links lead from a file's name to the file, at the most: as many as the kernel follows.
const MAX_LINKS: usize = 40;

const AUTHS: &str = "auths";
const HELPERS: &str = "credHelpers";
const STORE: &str = "credsStore";

/// Hand-made files leave the padding out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A file of logins, as it was read, with what was changed since.
pub(crate) struct AuthFile {
    path: PathBuf,
    dialect: Dialect,
    members: Members,
}

/// What `auths` says about one key.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Entry {
    auth: Option<Secret>,
    username: Option<String>,
    password: Option<Secret>,
    identitytoken: Option<Secret>,
    registrytoken: Option<Secret>,
}

impl AuthFile {
    /// Reads the file; `None` if there is none.
    pub(crate) fn read(place: &Place) -> Result<Option<Self>, CredentialsError> {
        let path = place.path.clone();
        let bytes = match read(&path) {
            Ok(bytes) => bytes,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(None);
            }
            Err(source) => return Err(CredentialsError::Read { path, source }),
        };
        if bytes.trim_ascii().is_empty() {
            return Ok(Some(Self::empty(place)));
        }
        // The parser's own words may quote what it read.
        let members = serde_json::from_slice(&bytes).map_err(|error| CredentialsError::Malformed {
            path: path.clone(),
            reason: format!("it is no JSON object, at line {}, column {}", error.line(), error.column()),
        })?;
        Ok(Some(Self { path, dialect: place.dialect, members }))
    }

    /// A file with nothing in it, which is made when it is written.
    pub(crate) fn empty(place: &Place) -> Self {
        Self { path: place.path.clone(), dialect: place.dialect, members: Members::default() }
    }

    /// The key under which this file keeps the login for all of `registry`.
    pub(crate) fn key(&self, registry: &Registry) -> String {
        match self.dialect {
            Dialect::Docker => registry.server(),
            Dialect::Containers => registry.as_str(),
        }
        .to_owned()
    }

    /// The helper that has the login, if the file names one.
    pub(crate) fn helper(&self, wanted: &Wanted) -> Result<Option<Helper>, CredentialsError> {
        let text = |value: &RawValue| serde_json::from_str::<String>(value.get()).unwrap_or_default();
        let own = self.object(HELPERS)?;
        let (name, is_for_all) = match wanted.best(own.names(), self.dialect).and_then(|key| own.get(key)) {
            Some(name) => (text(name), false),
            None => (self.members.get(STORE).map(text).unwrap_or_default(), true),
        };
        // By an empty name, a registry is kept out of the helper for all.
        if name.is_empty() { Ok(None) } else { Helper::named(&name, is_for_all, &self.path).map(Some) }
    }

    /// The login in the file itself.
    pub(crate) fn login(&self, wanted: &Wanted) -> Result<Option<AuthConfig>, CredentialsError> {
        let auths = self.object(AUTHS)?;
        let Some(key) = wanted.best(auths.names(), self.dialect) else { return Ok(None) };
        let bad = || CredentialsError::Entry { path: self.path.clone(), key: key.to_owned() };
        let entry = auths.get(key).map_or("null", RawValue::get);
        let entry = serde_json::from_str::<Option<Entry>>(entry).map_err(|_| bad())?.unwrap_or_default();
        let (mut username, mut password) = (entry.username.unwrap_or_default(), entry.password.unwrap_or_default());
        if let Some(auth) = entry.auth.filter(|auth| !auth.is_empty()) {
            let bytes = BASE64.decode(auth.expose().trim()).map_err(|_| bad())?;
            let text = String::from_utf8(bytes).map_err(|_| bad())?;
            let (user, secret) = text.split_once(':').ok_or_else(bad)?;
            username = user.to_owned();
            // Old clients have padded it.
            password = Secret::new(secret.trim_end_matches('\0'));
        }
        let login = AuthConfig {
            username,
            password,
            serveraddress: wanted.registry.server().to_owned(),
            identitytoken: entry.identitytoken.unwrap_or_default(),
            registrytoken: entry.registrytoken.unwrap_or_default(),
        };
        Ok((!login.is_empty()).then_some(login))
    }

    /// Puts a login in, or the mark that it is elsewhere, in place of all others for the same registry.
    pub(crate) fn put(&mut self, key: &str, login: Option<&AuthConfig>) -> Result<(), CredentialsError> {
        let mut entry = Members::default();
        if let Some(login) = login {
            // An identity token stands in place of the password.
            let password = if login.identitytoken.is_empty() { login.password.expose() } else { "" };
            entry.set("auth", json_text(&BASE64.encode(format!("{}:{password}", login.username))));
            if !login.identitytoken.is_empty() {
                entry.set("identitytoken", json_text(login.identitytoken.expose()));
            }
        }
        let all = Wanted::all_of(&Registry::named(key));
        let mut auths = self.object(AUTHS)?;
        auths.remove(|other| other != key && all.fit(other, self.dialect).is_some());
        auths.set(key, json(entry.text(2)));
        self.members.set(AUTHS, json(auths.text(1)));
        Ok(())
    }

    /// Takes out all logins for all of a registry; whether there were any.
    pub(crate) fn take(&mut self, wanted: &Wanted) -> Result<bool, CredentialsError> {
        let mut auths = self.object(AUTHS)?;
        let any = auths.remove(|key| wanted.fit(key, self.dialect).is_some());
        if any {
            self.members.set(AUTHS, json(auths.text(1)));
        }
        Ok(any)
    }

    /// Replaces the file as a whole, readable for its owner alone. Where its name is a link, the file that it leads to is replaced.
    pub(crate) fn write(&self) -> Result<(), CredentialsError> {
        let text = self.members.text(0) + "\n";
        replace(&self.path, text.as_bytes())
            .map_err(|source| CredentialsError::Write { path: self.path.clone(), source })
    }

    /// A member that is an object; an empty one if it isn't there.
    fn object(&self, name: &'static str) -> Result<Members, CredentialsError> {
        let value = self.members.get(name).map_or("null", RawValue::get);
        serde_json::from_str::<Option<Members>>(value).map(Option::unwrap_or_default).map_err(|_| {
            CredentialsError::Malformed { path: self.path.clone(), reason: format!("its `{name}` is no object") }
        })
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it has more than {MAX_FILE} bytes")));
    }
    Ok(bytes)
}

fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    let path = target(path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    // It is made with mode 0600, and goes away again if something fails.
    let mut file = tempfile::Builder::new().prefix(".layer-login-").tempfile_in(folder)?;
    file.write_all(text)?;
    if let Ok(before) = fs::metadata(&path) {
        // Whoever runs this for another user, as by `sudo`, leaves the file to its owner; where that is not allowed, it is their own anyway.
        let _kept = fchown(file.as_file(), Some(before.uid()), Some(before.gid()));
    }
    file.as_file().sync_all()?;
    file.persist(&path).map_err(|error| error.error)?;
    File::open(folder)?.sync_all()
}

/// Where the links end that begin at `path`, whether there is a file or not.
fn target(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..MAX_LINKS {
        match fs::read_link(&path) {
            Ok(next) => path = path.parent().unwrap_or(Path::new("")).join(next),
            // It is no link, or not there.
            Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::NotFound) => {
                return Ok(path);
            }
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, "its links lead to each other"))
}

/// A text as JSON.
fn json_text(text: &str) -> Box<RawValue> {
    json(serde_json::Value::from(text).to_string())
}

/// JSON that was put together here.
fn json(text: String) -> Box<RawValue> {
    RawValue::from_string(text).expect("it is made of JSON")
}

#[cfg(test)]
mod tests;
