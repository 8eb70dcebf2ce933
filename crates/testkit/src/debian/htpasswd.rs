//! Users and passwords for a registry that asks for them itself.

use std::io::Write as _;

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The cheapest that there is: nothing is kept safe here.
const COST: u32 = 4;

/// A file with one user, for as long as the value lives.
pub struct Htpasswd {
    file: tempfile::NamedTempFile,
    authorization: String,
}

impl Htpasswd {
    /// Makes the file.
    ///
    /// # Errors
    /// It can't be written.
    pub fn new(user: &str, password: &str) -> Result<Self> {
        let hash = bcrypt::hash(password, COST).context("hash a password")?;
        let mut file = tempfile::NamedTempFile::new().context("make a file of passwords")?;
        writeln!(file, "{user}:{hash}").context("write a file of passwords")?;
        let authorization = format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
        Ok(Self { file, authorization })
    }

    /// The section of a registry's configuration that names the file.
    pub fn config(&self) -> String {
        format!("auth:\n  htpasswd:\n    realm: testkit\n    path: {}\n", self.file.path().display())
    }

    /// The header by which the user is let in.
    pub fn authorization(&self) -> &str {
        &self.authorization
    }
}
