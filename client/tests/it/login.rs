//! `layer login`, `layer logout`, and the logins that pulls are made with.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use layer_proto::{ProgressLine, Pulled};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::daemon::{Daemon, Request};
use crate::terminal::Session;
use crate::{Run, done, layer, run};

const HOST: &str = "127.0.0.1:5000";
const UNENCRYPTED: &str = "a credential helper would keep it safe";

/// A folder for the logins of one test.
struct Home(TempDir);

impl Home {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn read(&self, name: &str) -> Value {
        serde_json::from_str(&fs::read_to_string(self.path(name)).unwrap()).unwrap()
    }

    /// The client, with its logins here.
    fn layer(&self, daemon: &Daemon, args: &[&str]) -> Command {
        let mut command = layer(daemon, args);
        command.env("HOME", self.0.path()).env_remove("DOCKER_CONFIG").env_remove("XDG_CONFIG_HOME");
        command.env("XDG_RUNTIME_DIR", self.path("run"));
        let path = std::env::var("PATH").unwrap();
        command.env("PATH", format!("{}:{path}", self.path("bin").display()));
        command
    }

    /// Puts a credential helper called `docker-credential-box` here, which keeps each login in a file.
    fn helper(&self) {
        let text = r#"#!/bin/sh
            box="${0%/*}/../box"; mkdir -p "$box"; echo "$@" >>"$box/.calls"
            case "$1" in
            store) text=$(cat); key=${text#*ServerURL\":\"}; key=${key%%\"*}; echo "$text" >"$box/$(echo "$key" | tr / _)" ;;
            get) cat "$box/$(tr / _)" 2>/dev/null || { echo 'credentials not found in native keychain'; exit 1; } ;;
            erase) rm "$box/$(tr / _)" 2>/dev/null || { echo 'credentials not found in native keychain'; exit 1; } ;;
            list) echo '{}' ;;
            esac"#;
        self.write("bin/docker-credential-box", text);
        let program = fs::Permissions::from_mode(0o755);
        fs::set_permissions(self.path("bin/docker-credential-box"), program).unwrap();
    }
}

/// Runs a command with something on its standard input.
fn run_with(command: &mut Command, input: &str) -> Run {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the client runs");
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).expect("the client writes UTF-8");
    Run { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// A daemon for which `password` alone is right, and which gives `token` for it.
fn keeper(password: &'static str, token: &'static str) -> Daemon {
    Daemon::start(move |request: &Request, reply| {
        let login = request.login.clone().unwrap_or_else(|| request.body.clone());
        let login: Value = serde_json::from_str(&login).unwrap_or_default();
        let is_right = login["password"] == password || (!token.is_empty() && login["identitytoken"] == token);
        if request.line.contains("/auth") && is_right {
            reply.json(200, &json!({"IdentityToken": token, "Status": "Login Succeeded"}));
        } else if request.line.contains("/_ping") {
            reply.text(200, "OK");
        } else if request.line.contains("/auth") {
            reply.json(401, &json!({"message": "registry refused user `bob`", "hint": "check it"}));
        } else if request.line.contains("open") || is_right {
            reply.lines(&[
                ProgressLine::done("private", true),
                ProgressLine::pulled(&Pulled { id: "sha256:00".into(), reference: format!("{HOST}/private:1") }),
            ]);
        } else {
            reply.json(404, &json!({"message": "pull access denied", "hint": "log in", "login": HOST}));
        }
    })
}

#[test]
fn a_login_is_proven_and_then_kept() {
    let (home, daemon) = (Home::new(), keeper("s3cret", ""));
    let login = ["login", HOST, "-u", "bob", "--password-stdin"];
    let wrong = run_with(&mut home.layer(&daemon, &login), "guess\n");
    let err = format!("error: log in to `{HOST}`: registry refused user `bob`\nhint: check it\n");
    assert_eq!(wrong, Run { code: Some(1), out: String::new(), err });
    assert!(!home.path(".docker").exists(), "what is not accepted is not kept");

    let right = run_with(&mut home.layer(&daemon, &login), "s3cret\r\n");
    let file = home.path(".docker/config.json");
    let err = format!("warning: the login is kept unencrypted in `{}`; {UNENCRYPTED}\n", file.display());
    assert_eq!(right, Run { code: Some(0), out: "Login Succeeded\n".into(), err });
    assert_eq!(home.read(".docker/config.json"), json!({"auths": {HOST: {"auth": "Ym9iOnMzY3JldA=="}}}));
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o7777, 0o600);
    assert_eq!(fs::read_dir(home.path(".docker")).unwrap().count(), 1, "nothing is left beside it");
    let seen = daemon.seen().pop().unwrap();
    assert_eq!(seen.line, "POST /v1.51/auth");
    assert_eq!(seen.body, format!(r#"{{"username":"bob","password":"s3cret","serveraddress":"{HOST}"}}"#));

    let name = format!("{HOST}/private:1");
    assert_eq!(run(&mut home.layer(&daemon, &["pull", "-q", &name])), done(&format!("{name}\n")));
    let address = format!("http://{HOST}/v2/");
    let out = format!("Removing login credentials for {HOST}\n");
    assert_eq!(run(&mut home.layer(&daemon, &["logout", &address])), done(&out));
    assert_eq!(home.read(".docker/config.json"), json!({"auths": {}}));
    let out = format!("Not logged in to {HOST}\n");
    assert_eq!(run(&mut home.layer(&daemon, &["logout", HOST])), done(&out));
    let refused = run(&mut home.layer(&daemon, &["pull", "-q", &name]));
    assert_eq!(refused.err, format!("error: pull `{name}`: pull access denied\nhint: log in\n"));
}

#[test]
fn a_token_is_kept_in_place_of_the_password() {
    let (home, daemon) = (Home::new(), keeper("s3cret", "keep-me"));
    symlink("real.json", home.path("link.json")).unwrap();
    home.write("real.json", r#"{"currentContext": "x", "auths": {"docker.io": {"auth": "b2xkOm9sZA=="}}}"#);
    let mut login = home.layer(&daemon, &["login", "--username", "bob", "--password-stdin"]);
    let ended = run_with(login.env("REGISTRY_AUTH_FILE", home.path("link.json")), "s3cret");
    assert_eq!((ended.code, &*ended.out), (Some(0), "Login Succeeded\n"), "{}", ended.err);
    let kept = json!({"docker.io": {"auth": "Ym9iOg==", "identitytoken": "keep-me"}});
    assert_eq!(home.read("real.json"), json!({"currentContext": "x", "auths": kept}));
    assert!(fs::symlink_metadata(home.path("link.json")).unwrap().is_symlink());
    assert!(daemon.seen()[0].body.contains(r#""serveraddress":"https://index.docker.io/v1/""#));

    let mut pull = home.layer(&daemon, &["pull", "-q", "acme/private:1"]);
    assert_eq!(run(pull.env("REGISTRY_AUTH_FILE", home.path("link.json"))).code, Some(0));
    let lent = daemon.seen().pop().unwrap().login.unwrap();
    let want = r#"{"username":"bob","serveraddress":"https://index.docker.io/v1/","identitytoken":"keep-me"}"#;
    assert_eq!(lent, want);
}

#[test]
fn a_helper_keeps_what_the_file_need_not() {
    let (home, daemon) = (Home::new(), keeper("s3cret", ""));
    home.helper();
    let before = json!({"credsStore": "box", "auths": {HOST: {"auth": "b2xkOm9sZA=="}}});
    home.write(".docker/config.json", &before.to_string());
    let login = ["login", HOST, "-u", "bob", "--password-stdin"];
    let ended = run_with(&mut home.layer(&daemon, &login), "s3cret\n");
    assert_eq!(ended, done("Login Succeeded\n"));
    assert_eq!(home.read(".docker/config.json"), json!({"credsStore": "box", "auths": {HOST: {}}}));
    let kept = json!({"ServerURL": HOST, "Username": "bob", "Secret": "s3cret"});
    assert_eq!(home.read(&format!("box/{HOST}")), kept);
    let name = format!("{HOST}/private:1");
    assert_eq!(run(&mut home.layer(&daemon, &["pull", "-q", &name])), done(&format!("{name}\n")));
    let out = format!("Removing login credentials for {HOST}\n");
    assert_eq!(run(&mut home.layer(&daemon, &["logout", HOST])), done(&out));
    assert!(!home.path(&format!("box/{HOST}")).exists());
    assert_eq!(home.read(".docker/config.json"), json!({"credsStore": "box", "auths": {}}));
    let calls = fs::read_to_string(home.path("box/.calls")).unwrap();
    assert!(!calls.contains("s3cret") && calls.starts_with("store\nget\n"), "{calls}");
}

#[test]
fn a_pull_finds_its_login_where_podman_keeps_it() {
    let (home, daemon) = (Home::new(), keeper("team", ""));
    // bob:all, bob:team
    let auths = json!({"auths": {HOST: {"auth": "Ym9iOmFsbA=="}, format!("{HOST}/team"): {"auth": "Ym9iOnRlYW0="}}});
    for place in ["run/containers/auth.json", ".config/containers/auth.json"] {
        home.write(place, &auths.to_string());
        let pull = |name: &str| run(&mut home.layer(&daemon, &["pull", "-q", &format!("{HOST}/{name}")])).code;
        assert_eq!(pull("team/private:1"), Some(0));
        assert_eq!(pull("other/private:1"), Some(1));
        let lent = daemon.seen().pop().unwrap().login.unwrap();
        assert!(lent.contains(r#""password":"all""#), "{lent}");
        let left = run(&mut home.layer(&daemon, &["logout", HOST]));
        let warning = format!("warning: another login for `{HOST}` is left in `{}`\n", home.path(place).display());
        assert_eq!((&*left.out, left.err), (&*format!("Not logged in to {HOST}\n"), warning));
        fs::remove_file(home.path(place)).unwrap();
    }
}

#[test]
fn what_can_not_be_asked_for_a_login_is_told_and_hinders_no_pull() {
    let (home, daemon) = (Home::new(), keeper("s3cret", ""));
    home.write(".docker/config.json", r#"{"credsStore": "not-there"}"#);
    home.write("run/containers/auth.json", "hidden");
    let ended = run(&mut home.layer(&daemon, &["pull", "-q", "open:1", "open:2"]));
    assert_eq!((ended.code, ended.out), (Some(0), format!("{HOST}/private:1\n").repeat(2)));
    let mut told: Vec<_> = ended.err.lines().collect();
    told.sort_unstable();
    let file = |name: &str| home.path(name).display().to_string();
    let (docker, podman) = (file(".docker/config.json"), file("run/containers/auth.json"));
    let program = "docker-credential-not-there";
    let want = [
        format!("hint: install `{program}`, or take it out of `credsStore` and `credHelpers` in `{docker}`"),
        format!("hint: repair `{podman}`, or move it away and log in again"),
        format!("warning: credential helper `{program}` is not installed"),
        format!("warning: read the logins in `{podman}`: it is no JSON object, at line 1, column 1"),
    ];
    assert_eq!(told, want);
    assert!(daemon.seen().iter().all(|request| request.login.is_none()));
    // A login that can't be kept is an error.
    let login = ["login", HOST, "-u", "bob", "--password-stdin"];
    let ended = run_with(&mut home.layer(&daemon, &login), "s3cret\n");
    assert_eq!(ended.code, Some(1));
    let want = format!("error: log in to `{HOST}`: credential helper `{program}` is not installed\n");
    assert!(ended.err.starts_with(&want), "{}", ended.err);
}

#[test]
fn without_a_terminal_nobody_is_asked() {
    let (home, daemon) = (Home::new(), keeper("s3cret", ""));
    let ended = run(&mut home.layer(&daemon, &["login", HOST, "-u", "bob"]));
    let err = format!(
        "error: log in to `{HOST}`: standard input or standard error is no terminal to ask for a login on\n\
         hint: give the user by `--username` and the password on standard input, with `--password-stdin`\n"
    );
    assert_eq!(ended, Run { code: Some(1), out: String::new(), err });
    let ended = run(&mut home.layer(&daemon, &["login", HOST, "-u", "bob", "--password-stdin"]));
    let err = format!("error: log in to `{HOST}`: no login was given\n");
    assert_eq!(ended, Run { code: Some(1), out: String::new(), err });
    assert!(daemon.seen().is_empty());
}

/// The beginning of a command line for the shell.
fn program(daemon: &Daemon) -> String {
    format!("'{}' -H '{}'", env!("CARGO_BIN_EXE_layer"), daemon.socket().display())
}

#[test]
fn a_password_is_typed_unseen() {
    let (home, daemon) = (Home::new(), keeper("s3cret", ""));
    let mut session = Session::start(&format!("{} login {HOST}", program(&daemon)), home.0.path());
    session.wait_for("Username: ").type_in("bob\n").wait_for("Password: ").type_in("s3cret\n");
    let (status, seen) = session.end();
    assert!(status.success() && seen.ends_with("Login Succeeded\r\n"), "{seen}");
    assert!(!seen.contains("s3cret"), "{seen}");
    assert_eq!(home.read(".docker/config.json"), json!({"auths": {HOST: {"auth": "Ym9iOnMzY3JldA=="}}}));
}

#[test]
fn a_terminal_shows_again_what_is_typed_after_an_interruption() {
    let (home, daemon) = (Home::new(), keeper("s3cret", ""));
    let line = format!("trap : INT; {} login {HOST} -u bob; echo \"ended $?\"; stty -a", program(&daemon));
    let mut session = Session::start(&line, home.0.path());
    session.wait_for("Password: ").type_in("\u{3}").wait_for("interrupted").wait_for("ended 130");
    let (_, seen) = session.end();
    assert!(seen.contains(" echo ") && !seen.contains(" -echo "), "{seen}");
    assert_eq!(daemon.lines(), ["GET /_ping"]);
    assert!(!home.path(".docker").exists());
}

#[test]
fn nobody_types_a_password_for_a_daemon_that_is_not_there() {
    let home = Home::new();
    let line = format!("'{}' -H /nonexistent login {HOST}", env!("CARGO_BIN_EXE_layer"));
    let (status, seen) = Session::start(&line, home.0.path()).end();
    assert_eq!(status.code(), Some(3), "{seen}");
    assert!(seen.starts_with("error: no daemon listens on `/nonexistent`"), "{seen}");
}

#[test]
fn a_pull_that_needs_a_login_goes_on_with_one() {
    let (home, daemon) = (Home::new(), keeper("s3cret", ""));
    let names = format!("{HOST}/private:1 open:1 {HOST}/private:2");
    let mut session = Session::start(&format!("{} pull {names}", program(&daemon)), home.0.path());
    session.wait_for(&format!("`{HOST}` wants a login. Give one to go on with the pull, or nothing to leave it."));
    session.wait_for("Username: ").type_in("bob\n").wait_for("Password: ").type_in("guess\n");
    session.wait_for("registry refused user `bob`");
    session.wait_for("Username: ").type_in("bob\n").wait_for("Password: ").type_in("s3cret\n");
    let (status, seen) = session.end();
    assert!(status.success(), "{seen}");
    assert_eq!(seen.matches(&format!("{HOST}/private:1\r\nsha256:00\r\n")).count(), 3, "{seen}");
    assert!(!seen.contains("error:") && !seen.contains("s3cret"), "{seen}");
    assert_eq!(home.read(".docker/config.json")["auths"][HOST]["auth"], "Ym9iOnMzY3JldA==");
    assert_eq!(daemon.lines().iter().filter(|line| line.contains("/auth")).count(), 2);
}

#[test]
fn a_login_that_is_offered_can_be_left() {
    let (home, daemon) = (Home::new(), keeper("s3cret", ""));
    let name = format!("{HOST}/private:1");
    let mut session = Session::start(&format!("{} pull {name}", program(&daemon)), home.0.path());
    session.wait_for("Username: ").type_in("\n");
    let (status, seen) = session.end();
    assert_eq!(status.code(), Some(1), "{seen}");
    assert!(seen.contains(&format!("error: pull `{name}`: pull access denied\r\nhint: log in\r\n")), "{seen}");
    // Who wants little to be said wants no questions.
    let session = Session::start(&format!("{} pull -q {name}", program(&daemon)), home.0.path());
    let (status, seen) = session.end();
    assert!(status.code() == Some(1) && !seen.contains("Username"), "{seen}");
}

#[test]
fn a_refusal_in_the_middle_of_a_pull_offers_a_login_too() {
    let home = Home::new();
    let daemon = Daemon::start(|request: &Request, reply| {
        if request.line.contains("/auth") {
            reply.json(200, &json!({"IdentityToken": "", "Status": "Login Succeeded"}));
        } else if request.login.is_some() {
            reply.lines(&[ProgressLine::done("private", true)]);
        } else {
            let refused = ProgressLine::error("no access", None).with_login(Some(HOST.into()));
            reply.lines(&[ProgressLine::pulling("private", "1"), refused]);
        }
    });
    let mut session = Session::start(&format!("{} pull {HOST}/private:1", program(&daemon)), home.0.path());
    session.wait_for("Username: ").type_in("bob\n").wait_for("Password: ").type_in("s3cret\n");
    let (status, seen) = session.end();
    assert!(status.success() && seen.contains("Status: Downloaded newer image for private"), "{seen}");
}
