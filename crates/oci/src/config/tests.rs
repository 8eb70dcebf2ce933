//! Configs as builders of ten years have written them.

use proptest::prelude::*;

use super::*;

const DIFF: &str = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

/// What Docker wrote until 2023: nulls for what is empty, and the container that the image was made from.
const OLD: &str = r#"{
  "architecture": "amd64", "author": "NGINX Docker Maintainers",
  "config": {
    "Hostname": "6b7c1f0fd2a9", "Domainname": "", "User": "", "AttachStdin": false, "AttachStdout": false, "AttachStderr": false,
    "ExposedPorts": {"80/tcp": {}, "443/tcp": {}}, "Tty": false, "OpenStdin": false, "StdinOnce": false,
    "Env": ["PATH=/usr/local/bin:/usr/bin"], "Cmd": null, "ArgsEscaped": true, "Image": "sha256:0123", "Volumes": null,
    "WorkingDir": "", "Entrypoint": [], "OnBuild": null, "Labels": null
  },
  "container": "2f5b", "container_config": {"Hostname": "6b7c1f0fd2a9", "Cmd": ["/bin/sh", "-c", "true"]},
  "created": "2017-03-01T20:20:45.123456789Z", "docker_version": "1.12.6",
  "history": [
    {"created": "2017-02-27T19:26:49.1Z", "created_by": "/bin/sh -c #(nop) ADD file:1 in / "},
    {"created": "2017-02-27T19:26:50Z", "author": "x", "created_by": "/bin/sh -c #(nop)  CMD [\"sh\"]", "empty_layer": true}
  ],
  "os": "linux", "rootfs": {"type": "layers", "diff_ids": ["DIFF"]}
}"#;

/// What current builders write.
const NEW: &str = r#"{"created":"2024-01-01T00:00:00Z","architecture":"arm64","variant":"v8","os":"linux","comment":"made by hand",
  "config":{"Env":["A=1"],"Entrypoint":["/app"],"Cmd":["--serve"],"User":"1000:1000","WorkingDir":"/srv","StopSignal":"SIGQUIT",
    "Labels":{"org.opencontainers.image.version":"1"},"Volumes":{"/data":{}},"Shell":["/bin/bash","-c"],"OnBuild":["RUN true"],
    "Healthcheck":{"Test":["CMD","true"],"Interval":30000000000}},
  "history":[{"created":"2024-01-01T00:00:00Z","created_by":"COPY / /","comment":"buildkit.dockerfile.v0"}],
  "rootfs":{"type":"layers","diff_ids":["DIFF"]},"moby.buildkit.buildinfo.v1":"eA=="}"#;

fn parse(text: &str) -> Result<ImageConfig, DocumentError> {
    ImageConfig::parse(text.replace("DIFF", DIFF).as_bytes())
}

/// An error and its cause in one line.
fn refusal(text: &str) -> String {
    let error = parse(text).map(|config| panic!("{config:?}")).unwrap_err();
    match std::error::Error::source(&error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

fn strings<C: FromIterator<String>>(words: &[&str]) -> C {
    words.iter().map(|&word| word.to_owned()).collect()
}

#[test]
fn an_old_config() {
    let config = parse(OLD).unwrap();
    assert_eq!(config.created.as_deref(), Some("2017-03-01T20:20:45.123456789Z"));
    assert_eq!(config.author.as_deref(), Some("NGINX Docker Maintainers"));
    assert_eq!(config.docker_version.as_deref(), Some("1.12.6"));
    assert_eq!(config.comment, None);
    assert_eq!(config.platform().to_string(), "linux/amd64");
    assert_eq!(config.diff_ids, [DIFF.parse().unwrap()]);
    let run = &config.config;
    assert_eq!((&run.cmd, &run.volumes, &run.on_build, &run.labels), (&None, &None, &None, &None));
    assert_eq!(run.entrypoint, Some(Vec::new()));
    assert_eq!(run.exposed_ports, Some(strings(&["443/tcp", "80/tcp"])));
    assert_eq!(run.env, Some(strings(&["PATH=/usr/local/bin:/usr/bin"])));
    assert!(run.args_escaped);
    assert_eq!((run.stop_signal.as_ref(), run.healthcheck.as_ref(), run.shell.as_ref()), (None, None, None));
    let steps: Vec<_> = config.history.iter().map(|step| (step.author.as_str(), step.empty_layer)).collect();
    assert_eq!(steps, [("", false), ("x", true)]);
    assert_eq!(config.history[0].created_by, "/bin/sh -c #(nop) ADD file:1 in / ");
}

#[test]
fn a_new_config() {
    let config = parse(NEW).unwrap();
    let expected = ImageConfig {
        created: Some("2024-01-01T00:00:00Z".to_owned()),
        comment: Some("made by hand".to_owned()),
        architecture: "arm64".to_owned(),
        os: "linux".to_owned(),
        variant: Some("v8".to_owned()),
        config: ContainerConfig {
            cmd: Some(strings(&["--serve"])),
            entrypoint: Some(strings(&["/app"])),
            env: Some(strings(&["A=1"])),
            labels: Some([("org.opencontainers.image.version".to_owned(), "1".to_owned())].into()),
            on_build: Some(strings(&["RUN true"])),
            shell: Some(strings(&["/bin/bash", "-c"])),
            stop_signal: Some("SIGQUIT".to_owned()),
            user: "1000:1000".to_owned(),
            volumes: Some(strings(&["/data"])),
            working_dir: "/srv".to_owned(),
            healthcheck: Some(serde_json::json!({ "Test": ["CMD", "true"], "Interval": 30_000_000_000_i64 })),
            ..ContainerConfig::default()
        },
        diff_ids: vec![DIFF.parse().unwrap()],
        history: vec![History {
            created: Some("2024-01-01T00:00:00Z".to_owned()),
            created_by: "COPY / /".to_owned(),
            comment: "buildkit.dockerfile.v0".to_owned(),
            ..History::default()
        }],
        ..ImageConfig::default()
    };
    assert_eq!(config, expected);
    assert_eq!(config.platform().to_string(), "linux/arm64");
}

#[test]
fn little_is_needed_and_null_is_nothing() {
    let host = Platform::host();
    for text in [
        r#"{"rootfs":{}}"#,
        r#"{"rootfs":{"type":"layers"}}"#,
        r#"{"rootfs":{"type":"layers","diff_ids":null},"config":null,"history":null,"created":null,"author":null,
            "os":null,"architecture":null,"variant":null,"docker_version":null,"os.features":null,"os.version":null}"#,
        r#"{"rootfs":{"type":"","diff_ids":[]},"config":{},"history":[],"created":"","variant":"","os":"","architecture":""}"#,
        r#"{"rootfs":{},"config":{"User":null,"WorkingDir":null,"ArgsEscaped":null,"Healthcheck":null,"StopSignal":null,"Shell":null}}"#,
    ] {
        let config = parse(text).unwrap();
        assert_eq!(config, ImageConfig::default(), "{text}");
        assert_eq!(config.platform(), host);
    }
}

#[test]
fn a_command_may_be_a_single_string() {
    let config = parse(r#"{"rootfs":{},"config":{"Cmd":"a b","Entrypoint":["c"],"Shell":""}}"#).unwrap().config;
    assert_eq!((config.cmd, config.entrypoint), (Some(strings(&["a b"])), Some(strings(&["c"]))));
    assert_eq!(config.shell, Some(strings(&[""])));
}

#[test]
fn a_windows_config_has_a_version() {
    let text =
        r#"{"os":"windows","os.version":"10.0.20348","os.features":["win32k"],"architecture":"amd64","rootfs":{}}"#;
    let config = parse(text).unwrap();
    assert_eq!(
        (config.os_version.as_deref(), config.os_features.as_slice()),
        (Some("10.0.20348"), &["win32k".to_owned()][..])
    );
    assert_eq!(config.platform().to_string(), "windows(10.0.20348)/amd64");
}

#[test]
fn what_is_no_config_is_refused() {
    for (text, error) in [
        ("null", "expected an object"),
        ("[]", "expected an object"),
        ("{}", "missing field `rootfs`"),
        (r#"{"rootfs":null}"#, "expected an object"),
        (r#"{"rootfs":["layers",[]]}"#, "expected an object"),
        (r#"{"rootfs":{},"config":[]}"#, "expected an object"),
        (r#"{"rootfs":{},"history":[["2017"]]}"#, "expected an object"),
        (r#"{"rootfs":{},"history":[null]}"#, "expected an object"),
        (r#"{"rootfs":{"type":"layers+base"}}"#, "unsupported root filesystem type `layers+base`"),
        (r#"{"rootfs":{"diff_ids":["sha256:../.."]}}"#, "malformed"),
        (r#"{"rootfs":{"diff_ids":[""]}}"#, "no algorithm"),
        (r#"{"rootfs":{"diff_ids":"DIFF"}}"#, "expected a list"),
        (r#"{"rootfs":{},"rootfs":{}}"#, "duplicate field"),
        (r#"{"rootfs":{},"config":{"Env":"A=1"}}"#, "expected a sequence"),
        (r#"{"rootfs":{},"config":{"Labels":["a"]}}"#, "expected a map"),
        (r#"{"rootfs":{},"config":{"Cmd":{"a":1}}}"#, "did not match"),
        (r#"{"rootfs":{},"config":{"Volumes":["/data"]}}"#, "expected a map"),
        (r#"{"rootfs":{}} {}"#, "trailing"),
    ] {
        let refused = refusal(text);
        assert!(refused.contains(error), "{text}: {refused}");
    }
}

#[test]
fn everything_has_an_end() {
    let deep = |n: usize| format!(r#"{{"rootfs":{{}},"config":{{"Healthcheck":{}{}}}}}"#, "[".repeat(n), "]".repeat(n));
    assert!(parse(&deep(62)).is_ok());
    assert_eq!(refusal(&deep(63)), "the image config nests deeper than 64 levels");
    let long = format!(r#"{{"rootfs":{{}},"x":"{}"}}"#, "x".repeat(8 << 20));
    assert!(refusal(&long).contains("more than the 8388608 that are taken"));
    let ids = |n: usize| format!(r#"{{"rootfs":{{"diff_ids":[{}]}}}}"#, vec![r#""DIFF""#; n].join(","));
    assert_eq!(parse(&ids(500)).unwrap().diff_ids.len(), 500);
    assert_eq!(refusal(&ids(501)), "501 diff IDs are more than the 500 that are taken");
    let steps = |n: usize| format!(r#"{{"rootfs":{{}},"history":[{}]}}"#, vec!["{}"; n].join(","));
    assert_eq!(parse(&steps(10_000)).unwrap().history.len(), 10_000);
    assert_eq!(refusal(&steps(10_001)), "10001 history entries are more than the 10000 that are taken");
}

#[test]
fn manifest_and_config_must_have_as_many_layers() {
    let text = |n: usize| {
        let layer = format!(r#"{{"mediaType":"l","digest":"{DIFF}","size":1}}"#);
        format!(
            r#"{{"config":{{"mediaType":"c","digest":"{DIFF}","size":1}},"layers":[{}]}}"#,
            vec![layer; n].join(",")
        )
    };
    let config = parse(NEW).unwrap();
    for (layers, good) in [(0, false), (1, true), (2, false)] {
        let crate::Document::Manifest(manifest) = crate::Document::parse(None, text(layers).as_bytes()).unwrap() else {
            panic!("not a manifest");
        };
        assert_eq!(manifest.check_config(&config).is_ok(), good);
        if let Err(error) = manifest.check_config(&config) {
            assert_eq!(error.to_string(), format!("the manifest has {layers} layers, but its image config has 1"));
        }
    }
}

proptest! {
    #[test]
    fn any_bytes_are_taken_or_refused_without_panic(bytes: Vec<u8>) {
        let _ = ImageConfig::parse(&bytes);
    }

    #[test]
    fn any_member_may_be_anything_without_panic(
        path in proptest::sample::select(vec![
            "/created", "/architecture", "/os", "/variant", "/os.version", "/os.features", "/docker_version", "/comment", "/config",
            "/config/Cmd", "/config/Env", "/config/ExposedPorts", "/config/Labels", "/config/User", "/config/Healthcheck",
            "/config/ArgsEscaped", "/rootfs", "/rootfs/type", "/rootfs/diff_ids", "/rootfs/diff_ids/0", "/history", "/history/0",
            "/history/0/created_by", "/history/0/empty_layer",
        ]),
        value in proptest::sample::select(vec!["null", "0", "-1", "1e400", "1.5", "true", "\"\"", "\"x\"", "[]", "{}", "[[]]", "[null]", r#"{"a":null}"#]),
    ) {
        let mut config: serde_json::Value = serde_json::from_str(&NEW.replace("DIFF", DIFF)).unwrap();
        let Ok(value) = serde_json::from_str(value) else { return Ok(()) };
        if let Some(member) = config.pointer_mut(path) {
            *member = value;
        }
        if let Ok(config) = ImageConfig::parse(config.to_string().as_bytes()) {
            let platform = config.platform();
            prop_assert_eq!(platform.clone().normalize(), platform);
        }
    }
}
