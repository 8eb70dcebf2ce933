//! `layer login` and `layer logout`, and the login that is offered when a pull needs one.

use layer_proto::{AuthConfig, Secret};

use crate::api::Api;
use crate::cli::{LoginArgs, LogoutArgs};
use crate::credentials::{self, Kept, Places, Registry};
use crate::error::Error;
use crate::exit::Exit;
use crate::render::output;
use crate::render::text::clean;
use crate::terminal;

/// How often a password may be mistyped in the middle of a pull.
const TRIES: usize = 3;

/// Proves a login, and keeps it.
pub(super) async fn run(api: &Api, args: LoginArgs) -> Result<Exit, Error> {
    let registry = args.registry.unwrap_or_else(Registry::hub);
    let during = |error: Error| error.during("log in to", registry.as_str());
    let login = match (args.username, args.password_stdin) {
        (Some(username), true) => login(&registry, username, terminal::secret_from_input().await?),
        (username, _) => {
            if !terminal::is_there() {
                return Err(during(Error::NoTerminal));
            }
            // Nobody should type a password for a daemon that isn't there.
            api.ping().await?;
            ask(&registry, username).await.and_then(|typed| typed.ok_or(Error::NothingTyped)).map_err(during)?
        }
    };
    if login.password.is_empty() {
        return Err(during(Error::NothingTyped));
    }
    let (login, status) = prove(api, login).await.map_err(during)?;
    keep(&registry, &login).await.map_err(during)?;
    output::outcome(&clean(&status))?;
    Ok(Exit::Done)
}

/// Forgets a login.
pub(super) async fn logout(args: LogoutArgs) -> Result<Exit, Error> {
    let registry = args.registry.unwrap_or_else(Registry::hub);
    let forgotten = credentials::forget(&Places::of_user(), &registry).await;
    let forgotten = forgotten.map_err(|error| Error::from(error).during("log out of", registry.as_str()))?;
    let name = clean(registry.server()).into_owned();
    output::outcome(&if forgotten.any {
        format!("Removing login credentials for {name}")
    } else {
        format!("Not logged in to {name}")
    })?;
    for place in forgotten.elsewhere {
        output::talk(&clean(&format!("warning: another login for `{name}` is left in `{}`", place.display())));
    }
    Ok(Exit::Done)
}

/// Asks for the login that `registry` wants, proves and keeps it. `None` when nobody wants to give one.
///
/// A login that can't be kept is used nevertheless.
pub(super) async fn offer(api: &Api, registry: &Registry) -> Result<Option<AuthConfig>, Error> {
    let name = clean(registry.as_str());
    output::talk(&format!("`{name}` wants a login. Give one to go on with the pull, or nothing to leave it."));
    for _ in 0..TRIES {
        let Some(login) = ask(registry, None).await? else { return Ok(None) };
        match prove(api, login).await.map_err(|error| error.during("log in to", registry.as_str())) {
            Ok((login, _)) => {
                if let Err(error) = keep(registry, &login).await {
                    output::talk(&format!("warning: {}", error.line()));
                }
                return Ok(Some(login));
            }
            Err(error @ Error::Unreachable { .. }) => return Err(error),
            Err(error) => error.report(),
        }
    }
    Ok(None)
}

/// Asks for what isn't known yet. `None` when nothing was typed.
async fn ask(registry: &Registry, username: Option<String>) -> Result<Option<AuthConfig>, Error> {
    let username = match username {
        Some(username) => Some(username),
        None => terminal::line("Username: ").await?,
    };
    let Some(username) = username else { return Ok(None) };
    Ok(terminal::secret("Password: ").await?.map(|password| login(registry, username, password)))
}

fn login(registry: &Registry, username: String, password: Secret) -> AuthConfig {
    AuthConfig { username, password, serveraddress: registry.server().to_owned(), ..AuthConfig::default() }
}

/// Has the daemon try a login out. Returns what is to be kept of it, and how it went in words.
async fn prove(api: &Api, login: AuthConfig) -> Result<(AuthConfig, String), Error> {
    let answer = api.log_in(&login).await?;
    if answer.identity_token.is_empty() {
        return Ok((login, answer.status));
    }
    // The token stands in place of the password, which need not be kept.
    let login = AuthConfig { identitytoken: answer.identity_token, password: Secret::default(), ..login };
    Ok((login, answer.status))
}

async fn keep(registry: &Registry, login: &AuthConfig) -> Result<(), Error> {
    if let Kept::File(path) = credentials::keep(&Places::of_user(), registry, login).await? {
        output::talk(&clean(&format!(
            "warning: the login is kept unencrypted in `{}`; a credential helper would keep it safe",
            path.display()
        )));
    }
    Ok(())
}
