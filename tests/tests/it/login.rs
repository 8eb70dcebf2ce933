//! Logins at Debian's own registry, with its two ways to ask who it is: by password, and by the tokens of another server.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use layer_testkit::debian::{DebianRegistry, Htpasswd, push};
use layer_testkit::image::{Image, ImageBuilder};
use layer_testkit::layer::LayerBuilder;
use layer_testkit::token_server::TokenServer;
use serde_json::{Value, json};

use crate::service::{Daemon, Ran, run, run_with};

const USER: &str = "bob";
const PASSWORD: &str = "op3n-sesame";

/// What no log may hold: the password, and user and password in base64.
const SECRETS: [&str; 3] = [PASSWORD, "Ym9iOm9wM24tc2VzYW1l", "identity-of-bob"];

/// A registry that lets nobody in but one user, with a private image.
struct Private {
    registry: DebianRegistry,
    tokens: Option<TokenServer>,
    /// The registry reads it with each request.
    _users: Option<Htpasswd>,
    name: String,
}

fn image() -> Image {
    ImageBuilder::new().layer(LayerBuilder::new().file("etc/private", "1").gzip()).build()
}

impl Private {
    fn by_password() -> Self {
        let users = Htpasswd::new(USER, PASSWORD).unwrap();
        let registry = DebianRegistry::start_with(&users.config()).unwrap();
        push(registry.address(), "lab/private", "1", &image(), Some(users.authorization())).unwrap();
        let name = format!("{}/lab/private:1", registry.host());
        Self { registry, tokens: None, _users: Some(users), name }
    }

    fn by_tokens(tokens: TokenServer) -> Self {
        let registry = DebianRegistry::start_with(&tokens.config()).unwrap();
        let writer = tokens.authorization("repository:lab/private:pull,push").unwrap();
        push(registry.address(), "lab/private", "1", &image(), Some(&writer)).unwrap();
        let name = format!("{}/lab/private:1", registry.host());
        Self { registry, tokens: Some(tokens), _users: None, name }
    }

    fn host(&self) -> String {
        self.registry.host()
    }

    /// A registry of each kind.
    fn of_each_kind() -> [Self; 2] {
        [Self::by_password(), Self::by_tokens(TokenServer::start(USER, PASSWORD).unwrap())]
    }
}

/// A daemon that logs everything.
fn talkative() -> Daemon {
    let mut daemon = Daemon::prepare();
    let mut command = daemon.command();
    daemon.launch(command.args(["--log", "trace"]));
    daemon
}

/// Logs in by docker's client or ours, which take the same arguments.
fn log_in(daemon: &Daemon, program: &str, host: &str, password: &str) -> Ran {
    let words = ["login", "--username", USER, "--password-stdin", host];
    let mut command = match program {
        "docker" => daemon.docker_command(&words),
        _ => daemon.layer_command(&words),
    };
    run_with(&mut command, password)
}

fn config(daemon: &Daemon) -> Value {
    serde_json::from_str(&fs::read_to_string(daemon.path("docker/config.json")).unwrap()).unwrap()
}

#[test]
fn root_a_login_opens_a_private_image_until_it_is_forgotten() {
    for private in Private::of_each_kind() {
        let daemon = talkative();
        let (host, name) = (private.host(), &private.name);
        let refused = daemon.layer(&["pull", "--quiet", name]).fails(1);
        assert!(refused.contains(&format!("error: pull `{name}`: pull access denied for ")), "{refused}");
        assert!(refused.contains(&format!("log in with `layer login {host}`")), "{refused}");

        let wrong = log_in(&daemon, "layer", &host, "wrong").fails(1);
        assert!(
            wrong.starts_with(&format!("error: log in to `{host}`: ")) && wrong.contains("refused user `bob`"),
            "{wrong}"
        );
        assert!(!daemon.path("docker").exists());
        let ran = log_in(&daemon, "layer", &host, PASSWORD);
        assert!(ran.stderr.starts_with("warning: the login is kept unencrypted in "), "{}", ran.stderr);
        assert_eq!(ran.ok(), "Login Succeeded");
        let preview = daemon.layer(&["pull", "--dry-run", name]).ok();
        assert!(preview.contains("not here yet"), "{preview}");
        assert_eq!(daemon.layer(&["pull", "--quiet", name]).ok(), *name);

        daemon.layer(&["rmi", name]).ok();
        assert_eq!(daemon.layer(&["logout", &host]).ok(), format!("Removing login credentials for {host}"));
        daemon.layer(&["pull", "--quiet", name]).fails(1);
        let log = daemon.log();
        assert!(log.contains("TRACE") && SECRETS.iter().all(|secret| !log.contains(secret)));
    }
}

#[test]
fn root_docker_s_client_logs_in_and_out_through_the_daemon() {
    for private in Private::of_each_kind() {
        let daemon = talkative();
        let (host, name) = (private.host(), &private.name);
        let wrong = log_in(&daemon, "docker", &host, "wrong").fails(1);
        assert!(wrong.contains("refused user `bob` for `/v2/` (401"), "{wrong}");
        let succeeded = log_in(&daemon, "docker", &host, PASSWORD).ok();
        assert!(succeeded.contains("Login Succeeded"), "{succeeded}");
        daemon.docker(&["pull", "--quiet", name]).ok();
        daemon.docker(&["rmi", name]).ok();
        // What docker keeps, our client finds, and the other way round.
        assert_eq!(daemon.layer(&["pull", "--quiet", name]).ok(), *name);
        daemon.layer(&["rmi", name]).ok();
        let out = daemon.docker(&["logout", &host]).ok();
        assert!(out.contains(&format!("Removing login credentials for {host}")), "{out}");
        let refused = daemon.docker(&["pull", name]).fails(1);
        assert!(refused.contains("pull access denied"), "{refused}");
        log_in(&daemon, "layer", &host, PASSWORD).ok();
        daemon.docker(&["pull", "--quiet", name]).ok();
        assert_eq!(daemon.layer(&["logout", &host]).ok(), format!("Removing login credentials for {host}"));
        assert_eq!(config(&daemon)["auths"], json!({}));
        let log = daemon.log();
        assert!(log.contains("TRACE") && SECRETS.iter().all(|secret| !log.contains(secret)));
    }
}

#[test]
fn root_an_identity_token_is_kept_in_place_of_the_password() {
    let daemon = talkative();
    let private = Private::by_tokens(TokenServer::start_with_identity_tokens(USER, PASSWORD).unwrap());
    let (host, name) = (private.host(), &private.name);
    log_in(&daemon, "layer", &host, PASSWORD).ok();
    // bob without a password
    let kept = json!({"auth": "Ym9iOg==", "identitytoken": "identity-of-bob"});
    assert_eq!(config(&daemon)["auths"][&host], kept);
    assert_eq!(daemon.layer(&["pull", "--quiet", name]).ok(), *name);
    daemon.layer(&["rmi", name]).ok();
    daemon.docker(&["pull", "--quiet", name]).ok();
    let asked = private.tokens.as_ref().unwrap().asked();
    assert_eq!(asked[0], "password offline");
    assert!(asked[1..].iter().all(|asked| asked == "identity"), "{asked:?}");
    let log = daemon.log();
    assert!(log.contains("TRACE") && SECRETS.iter().all(|secret| !log.contains(secret)));
}

#[test]
fn root_a_pull_on_a_terminal_asks_for_the_login_that_it_needs() {
    for private in Private::of_each_kind() {
        let daemon = talkative();
        let (host, name) = (private.host(), &private.name);
        let layer = daemon.layer_command(&[]);
        let mut script = daemon.clean("script");
        let line = format!("'{}' pull {name}", layer.get_program().display());
        script.args(["--quiet", "--return", "--command", &line, "/dev/null"]).env("SHELL", "/bin/sh");
        // Typed ahead of the questions.
        let seen = run_with(&mut script, &format!("{USER}\nwrong\n{USER}\n{PASSWORD}\n")).ok();
        let asked = format!("`{host}` wants a login. Give one to go on with the pull, or nothing to leave it.");
        let downloaded = format!("Status: Downloaded newer image for {name}");
        for part in [&*asked, "refused user `bob`", &downloaded] {
            assert!(seen.contains(part), "{part:?} in {seen:?}");
        }
        daemon.layer(&["rmi", name]).ok();
        assert_eq!(daemon.layer(&["pull", "--quiet", name]).ok(), *name, "the login is kept");
        let log = daemon.log();
        assert!(log.contains("TRACE") && SECRETS.iter().all(|secret| !log.contains(secret)));
    }
}

#[test]
fn root_a_helper_and_podman_s_file_are_asked_for_logins() {
    let daemon = Daemon::start();
    let private = Private::by_password();
    let (host, name) = (private.host(), &private.name);
    let pull = |place: &str| {
        let mut command = daemon.layer_command(&["pull", "--quiet", name]);
        let path = format!("{}:{}", daemon.path("bin").display(), std::env::var("PATH").unwrap());
        assert_eq!(run(command.env("PATH", path)).ok(), *name, "{place}");
        daemon.layer(&["rmi", name]).ok();
    };
    fs::create_dir_all(daemon.path("run/containers")).unwrap();
    // The most specific key counts: bob:wrong, and bob with the right password.
    let auths = json!({"auths": {
        host.clone(): {"auth": "Ym9iOndyb25n"},
        format!("{host}/lab"): {"auth": "Ym9iOm9wM24tc2VzYW1l"},
    }});
    let podman = daemon.path("run/containers/auth.json");
    fs::write(&podman, auths.to_string()).unwrap();
    pull("podman");
    fs::remove_file(podman).unwrap();

    fs::create_dir_all(daemon.path("docker")).unwrap();
    let helpers = json!({"credHelpers": {host.clone(): "box"}, "credsStore": "not-there"});
    fs::write(daemon.path("docker/config.json"), helpers.to_string()).unwrap();
    fs::create_dir_all(daemon.path("bin")).unwrap();
    let answer = json!({"ServerURL": host, "Username": USER, "Secret": PASSWORD});
    let text = format!("#!/bin/sh\n[ \"$1 $(cat)\" = 'get {host}' ] && echo '{answer}'\n");
    let program = daemon.path("bin/docker-credential-box");
    fs::write(&program, text).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    pull("helper");
    assert_eq!(config(&daemon), helpers, "a pull writes nothing");
}
