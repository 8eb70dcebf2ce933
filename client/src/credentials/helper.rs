//! Credential helpers: programs that keep logins in a keychain or get them from a cloud.
//!
//! A helper is called with a verb. What it is asked comes to it on standard input, where other users don't see it, and what it says on standard
//! output: an answer in JSON, or the reason when it fails.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use layer_proto::auth::TOKEN_USER;
use layer_proto::{AuthConfig, Secret};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;

use super::CredentialsError;
use super::key::{Dialect, Wanted};

/// Helpers say so when they have no login. It is the one reason that is no failure.
const NOT_FOUND: &str = "credentials not found in native keychain";

/// A keychain may have to be opened by its owner, who has to find the window first.
const LIMIT: Duration = Duration::from_secs(120);

/// The longest answer that is read. A token with many rights has some thousand bytes, a list of all logins some ten thousand.
const MAX_ANSWER: u64 = 1 << 20;

/// How much of a helper's reason is shown.
const MAX_WORDS: usize = 300;

/// A credential helper.
#[derive(Debug)]
pub(crate) struct Helper {
    program: String,
    /// Whether it keeps all logins, so that it makes sense to ask which there are.
    is_for_all: bool,
    /// The file that names it.
    file: PathBuf,
    limit: Duration,
}

/// A login in a helper's form.
#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Kept {
    #[serde(rename = "ServerURL")]
    server_url: String,
    username: String,
    secret: Secret,
}

impl Helper {
    /// The helper that `file` calls `name`.
    pub(crate) fn named(name: &str, is_for_all: bool, file: &Path) -> Result<Self, CredentialsError> {
        // A name with a slash would be the path of another program.
        if name.contains(['/', '\0']) {
            return Err(CredentialsError::BadHelper { name: name.into(), file: file.into() });
        }
        Ok(Self { program: format!("docker-credential-{name}"), is_for_all, file: file.into(), limit: LIMIT })
    }

    /// The program that is called.
    pub(crate) fn program(&self) -> &str {
        &self.program
    }

    /// The login for a registry: under the name that Docker's clients give it, or else under another one.
    pub(crate) async fn find(&self, wanted: &Wanted) -> Result<Option<AuthConfig>, CredentialsError> {
        let server = wanted.registry.server();
        if let Some(login) = self.get(server, wanted).await? {
            return Ok(Some(login));
        }
        let keys = self.keys().await;
        match wanted.best(keys.iter().map(String::as_str), Dialect::Docker) {
            Some(key) if key != server => self.get(key, wanted).await,
            _ => Ok(None),
        }
    }

    /// Keeps a login.
    pub(crate) async fn store(&self, server: &str, login: &AuthConfig) -> Result<(), CredentialsError> {
        let (username, secret) = if login.identitytoken.is_empty() {
            (login.username.clone(), login.password.clone())
        } else {
            (TOKEN_USER.to_owned(), login.identitytoken.clone())
        };
        let kept = Kept { server_url: server.to_owned(), username, secret };
        let input = serde_json::to_vec(&kept).map_err(|_| self.bad_answer("store"))?;
        let told = self.run("store", &input).await?;
        if told.status.success() { Ok(()) } else { Err(self.failed("store", &told, Some(&kept.secret))) }
    }

    /// Forgets all logins for a registry; whether there were any.
    pub(crate) async fn forget(&self, wanted: &Wanted) -> Result<bool, CredentialsError> {
        let mut keys = self.keys().await;
        keys.retain(|key| wanted.fit(key, Dialect::Docker).is_some());
        if !keys.iter().any(|key| key == wanted.registry.server()) {
            keys.push(wanted.registry.server().to_owned());
        }
        let mut any = false;
        for key in keys {
            any |= self.get(&key, wanted).await.is_ok_and(|login| login.is_some());
            let told = self.run("erase", key.as_bytes()).await?;
            if !told.status.success() && !has_none(&told) {
                return Err(self.failed("erase", &told, None));
            }
        }
        Ok(any)
    }

    async fn get(&self, key: &str, wanted: &Wanted) -> Result<Option<AuthConfig>, CredentialsError> {
        let told = self.run("get", key.as_bytes()).await?;
        if !told.status.success() {
            return if has_none(&told) { Ok(None) } else { Err(self.failed("get", &told, None)) };
        }
        // What it can't read, the parser may quote.
        let kept: Kept = serde_json::from_slice(&told.stdout).map_err(|_| self.bad_answer("get"))?;
        let serveraddress = wanted.registry.server().to_owned();
        let login = if kept.username == TOKEN_USER {
            AuthConfig { identitytoken: kept.secret, serveraddress, ..AuthConfig::default() }
        } else {
            AuthConfig { username: kept.username, password: kept.secret, serveraddress, ..AuthConfig::default() }
        };
        Ok((!login.is_empty()).then_some(login))
    }

    /// The keys of all logins. Helpers need not know them, and those for one registry aren't asked.
    async fn keys(&self) -> Vec<String> {
        if !self.is_for_all {
            return Vec::new();
        }
        let told = match self.run("list", b"").await {
            Ok(told) if told.status.success() => told.stdout,
            _ => return Vec::new(),
        };
        let list: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(&told).unwrap_or_default();
        list.into_iter().map(|(key, _user)| key).collect()
    }

    /// Runs the helper to its end. Dropping the future ends it.
    async fn run(&self, verb: &'static str, input: &[u8]) -> Result<Output, CredentialsError> {
        let mut command = Command::new(&self.program);
        command.arg(verb).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => {
                CredentialsError::NoHelper { program: self.program.clone(), file: self.file.clone() }
            }
            _ => CredentialsError::Start { program: self.program.clone(), source },
        })?;
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let write = async {
            if let Some(mut stdin) = stdin {
                // A helper that doesn't want to hear it says why on its own.
                let _heard = stdin.write_all(input).await;
            }
        };
        let talk = async { tokio::join!(write, capped(stdout), capped(stderr), child.wait()) };
        let Ok(((), stdout, stderr, status)) = tokio::time::timeout(self.limit, talk).await else {
            return Err(CredentialsError::Slow { program: self.program.clone(), verb, limit: self.limit });
        };
        let status = status.map_err(|source| CredentialsError::Start { program: self.program.clone(), source })?;
        match (stdout, stderr) {
            (Some(stdout), Some(stderr)) => Ok(Output { status, stdout, stderr }),
            _ => Err(self.bad_answer(verb)),
        }
    }

    fn bad_answer(&self, verb: &'static str) -> CredentialsError {
        CredentialsError::Answer { program: self.program.clone(), verb }
    }

    fn failed(&self, verb: &'static str, told: &Output, secret: Option<&Secret>) -> CredentialsError {
        let mut words = words(told).unwrap_or_else(|| told.status.to_string());
        if let Some(secret) = secret.filter(|secret| !secret.is_empty()) {
            words = words.replace(secret.expose(), &secret.to_string());
        }
        let words = words.chars().take(MAX_WORDS).collect();
        CredentialsError::Failed { program: self.program.clone(), verb, words }
    }
}

/// The first line of what a helper says about its failure. What looks like an answer, which has a secret in it, is none.
fn words(told: &Output) -> Option<String> {
    [&told.stdout, &told.stderr].into_iter().find_map(|bytes| {
        let text = String::from_utf8_lossy(bytes);
        let line = text.lines().map(str::trim).find(|line| !line.is_empty())?;
        (!text.contains('{')).then(|| line.to_owned())
    })
}

/// Whether the helper says that it has no such login.
fn has_none(told: &Output) -> bool {
    String::from_utf8_lossy(&told.stdout).trim() == NOT_FOUND
}

/// All that comes, to its end; `None` if that is too much or breaks off.
async fn capped(from: Option<impl AsyncRead + Unpin>) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    from?.take(MAX_ANSWER + 1).read_to_end(&mut bytes).await.ok()?;
    (bytes.len() as u64 <= MAX_ANSWER).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use tempfile::TempDir;

    use super::super::Registry;
    use super::*;

    /// A helper that is a script of a shell's, in a folder of its own.
    fn script(text: &str) -> (TempDir, Helper) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("helper");
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        let mut helper = Helper::named("test", true, Path::new("/config.json")).unwrap();
        helper.program = path.display().to_string();
        (folder, helper)
    }

    fn app() -> Wanted {
        Wanted::image("r.example/app")
    }

    #[tokio::test]
    async fn a_login_is_got_for_its_registry() {
        let answer = r#"[ "$1" = get ] && [ "$(cat)" = r.example ] || exit 9
            echo '{"ServerURL":"r.example","Username":"bob","Secret":"pw"}'"#;
        let (_folder, helper) = script(answer);
        let login = helper.find(&app()).await.unwrap().unwrap();
        assert_eq!((&*login.username, login.password.expose(), &*login.serveraddress), ("bob", "pw", "r.example"));
        let (_folder, helper) = script(r#"cat >/dev/null; echo '{"Username":"<token>","Secret":"keep"}'"#);
        let login = helper.find(&app()).await.unwrap().unwrap();
        assert_eq!((&*login.username, login.identitytoken.expose()), ("", "keep"));
        let (_folder, helper) = script(r#"cat >/dev/null; echo '{"Username":"","Secret":""}'"#);
        assert_eq!(helper.find(&app()).await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_login_under_another_name_is_found_by_the_list() {
        let (_folder, helper) = script(
            r#"case "$1-$(cat)" in
            list-) echo '{"x.example":"eve","https://r.example/v2/":"bob"}' ;;
            get-https://r.example/v2/) echo '{"Username":"bob","Secret":"pw"}' ;;
            *) echo 'credentials not found in native keychain'; exit 1 ;;
            esac"#,
        );
        assert_eq!(helper.find(&app()).await.unwrap().unwrap().password.expose(), "pw");
        assert_eq!(helper.find(&Wanted::image("alpine")).await.unwrap(), None);
        // The helper for one registry need not know a list.
        let one = Helper { is_for_all: false, ..helper };
        assert_eq!(one.find(&app()).await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_login_is_handed_over_on_standard_input_alone() {
        let (folder, helper) = script(r#"echo "$@" >"${0%/*}/arguments"; cat >"${0%/*}/$1""#);
        let login = AuthConfig { username: "bob".into(), password: Secret::new("s3cret"), ..AuthConfig::default() };
        helper.store("r.example", &login).await.unwrap();
        let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
        assert_eq!(read("arguments"), "store\n");
        assert_eq!(read("store"), r#"{"ServerURL":"r.example","Username":"bob","Secret":"s3cret"}"#);
        let login = AuthConfig { identitytoken: Secret::new("keep"), ..login };
        helper.store("r.example", &login).await.unwrap();
        assert_eq!(read("store"), r#"{"ServerURL":"r.example","Username":"<token>","Secret":"keep"}"#);
        helper.forget(&Wanted::all_of(&Registry::hub())).await.unwrap();
        assert_eq!(read("erase"), "https://index.docker.io/v1/");
    }

    #[tokio::test]
    async fn a_failure_is_told_in_the_helpers_words_but_not_with_its_secrets() {
        let words = |error: CredentialsError| {
            let text = format!("{error} {error:?}");
            assert!(!text.contains("hidden"), "{text}");
            error.to_string()
        };
        let (_folder, helper) = script("cat >/dev/null; echo 'the keychain is locked'; exit 3");
        let told = words(helper.find(&app()).await.unwrap_err());
        assert!(told.ends_with("failed at `get`: the keychain is locked"), "{told}");
        let (_folder, helper) = script("echo 'no token for you' >&2; exit 3");
        let told = words(helper.find(&app()).await.unwrap_err());
        assert!(told.ends_with("failed at `get`: no token for you"), "{told}");
        let (_folder, helper) = script("cat; exit 3");
        let login = AuthConfig { username: "b".into(), password: Secret::new("hidden"), ..AuthConfig::default() };
        let told = words(helper.store("r.example", &login).await.unwrap_err());
        assert!(told.ends_with("failed at `store`: exit status: 3"), "{told}");
        let (_folder, helper) = script("echo bad password hidden here; exit 3");
        let told = words(helper.store("r.example", &login).await.unwrap_err());
        assert!(told.ends_with("failed at `store`: bad password **** here"), "{told}");
        for answer in ["echo hidden", "echo '{\"Secret\":[\"hidden\"]}'", "yes hidden"] {
            let (_folder, helper) = script(answer);
            let told = words(helper.find(&app()).await.unwrap_err());
            assert!(told.contains("gave an answer to `get` that can't be read"), "{told}");
        }
        let missing = Helper::named("surely-not-there", true, Path::new("/config.json")).unwrap();
        let error = missing.find(&app()).await.unwrap_err();
        assert_eq!(error.to_string(), "credential helper `docker-credential-surely-not-there` is not installed");
        assert!(error.hint().unwrap().contains("`/config.json`"));
    }

    #[tokio::test]
    async fn a_helper_that_does_not_end_is_stopped() {
        let (folder, helper) = script("echo $$ >\"${0%/*}/pid\"; exec sleep 1000");
        // Long enough for it to say who it is.
        let helper = Helper { limit: Duration::from_secs(5), ..helper };
        let error = helper.find(&app()).await.unwrap_err();
        assert!(matches!(error, CredentialsError::Slow { verb: "get", .. }), "{error}");
        let pid = fs::read_to_string(folder.path().join("pid")).unwrap();
        let status = format!("/proc/{}/status", pid.trim().parse::<u32>().unwrap());
        let begun = std::time::Instant::now();
        // It is killed, and then waited for by the runtime.
        while fs::read_to_string(&status).is_ok_and(|text| !text.contains("State:\tZ")) {
            assert!(begun.elapsed() < Duration::from_secs(30), "it still runs");
            tokio::task::yield_now().await;
        }
    }
}
