//! Logins at registries: where they are kept on this machine, and how the one for an image is found.
//!
//! They lie where docker and podman keep them, in their forms, so that whoever has logged in with one of those need not do so again: in files of
//! JSON ([`mod@file`]), or with a credential helper that such a file names ([`helper`]). The daemon keeps none; it is lent one with each pull.
//!
//! A secret is of a type that doesn't print itself. It is never an argument of a program, and no error quotes what may hold one.

mod error;
mod file;
mod helper;
mod key;
mod members;
mod places;

pub(crate) use error::CredentialsError;
pub(crate) use key::{Registry, Wanted};
pub(crate) use places::Places;

use std::path::PathBuf;

use file::AuthFile;
use layer_proto::AuthConfig;

/// What a search for a login came to.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// The login, if there is one.
    pub(crate) login: Option<AuthConfig>,
    /// Places that could not be asked. What can be pulled without a login can be pulled nevertheless.
    pub(crate) troubles: Vec<CredentialsError>,
}

/// Where a login was put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    /// With this credential helper.
    Helper(String),
    /// In this file, where whoever may read it can read the secret.
    File(PathBuf),
}

/// What forgetting a login came to.
#[derive(Debug, Default)]
pub(crate) struct Forgotten {
    /// Whether there was one.
    pub(crate) any: bool,
    /// Other files, which still have one.
    pub(crate) elsewhere: Vec<PathBuf>,
}

/// Looks for the login that an image is pulled with: the first that there is, in the order of the places.
pub(crate) async fn find(places: &Places, wanted: &Wanted) -> Found {
    let mut found = Found::default();
    for place in &places.reading {
        let file = match AuthFile::read(place) {
            Ok(Some(file)) => file,
            Ok(None) => continue,
            Err(error) => {
                found.troubles.push(error);
                continue;
            }
        };
        let with_helper = async {
            match file.helper(wanted)? {
                Some(helper) => helper.find(wanted).await,
                None => Ok(None),
            }
        };
        for login in [with_helper.await, file.login(wanted)] {
            match login {
                Ok(Some(login)) => return Found { login: Some(login), ..found },
                Ok(None) => {}
                Err(error) => found.troubles.push(error),
            }
        }
    }
    found
}

/// Keeps a login for later: with the helper that the file of logins names for the registry, or in that file.
pub(crate) async fn keep(places: &Places, registry: &Registry, login: &AuthConfig) -> Result<Kept, CredentialsError> {
    let place = places.writing()?;
    let mut file = AuthFile::read(place)?.unwrap_or_else(|| AuthFile::empty(place));
    let key = file.key(registry);
    match file.helper(&Wanted::all_of(registry))? {
        Some(helper) => {
            helper.store(registry.server(), login).await?;
            // Docker leaves an empty entry, by which it knows where it is logged in; a secret that lay there in the open goes.
            file.put(&key, None)?;
            file.write()?;
            Ok(Kept::Helper(helper.program().to_owned()))
        }
        None => {
            file.put(&key, Some(login))?;
            file.write()?;
            Ok(Kept::File(place.path.clone()))
        }
    }
}

/// Forgets the login for all of a registry.
pub(crate) async fn forget(places: &Places, registry: &Registry) -> Result<Forgotten, CredentialsError> {
    let place = places.writing()?;
    let wanted = Wanted::all_of(registry);
    let mut forgotten = Forgotten::default();
    if let Some(mut file) = AuthFile::read(place)? {
        if let Some(helper) = file.helper(&wanted)? {
            forgotten.any |= helper.forget(&wanted).await?;
        }
        if file.take(&wanted)? {
            forgotten.any = true;
            file.write()?;
        }
    }
    for other in places.reading.iter().filter(|other| other.path != place.path) {
        // What can't be read has nothing that a pull would find.
        if let Ok(Some(file)) = AuthFile::read(other)
            && let Ok(Some(_)) = file.login(&wanted)
        {
            forgotten.elsewhere.push(other.path.clone());
        }
    }
    Ok(forgotten)
}
