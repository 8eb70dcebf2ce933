use proptest::prelude::*;

use super::*;

fn made(lines: &[&str]) -> Value {
    serde_json::to_value(Changes::parse(lines.iter().copied()).unwrap()).unwrap()
}

#[test]
fn each_instruction_changes_what_it_is_for() {
    for (lines, expected) in [
        (&[][..], json!({})),
        (&[r#"CMD ["x", "-y"]"#], json!({"Cmd": ["x", "-y"]})),
        (&["cmd echo hi"], json!({"Cmd": ["/bin/sh", "-c", "echo hi"]})),
        (&["CMD [not json"], json!({"Cmd": ["/bin/sh", "-c", "[not json"]})),
        (&["ENTRYPOINT [\"/init\"]"], json!({"Entrypoint": ["/init"]})),
        (&["ENV A=1 B=\"two words\" C=a\\ b", "ENV A=3"], json!({"Env": ["B=two words", "C=a b", "A=3"]})),
        (&["ENV PATH /bin:/usr/bin  "], json!({"Env": ["PATH=/bin:/usr/bin"]})),
        (&["LABEL a=b 'c d'='e \\f'"], json!({"Labels": {"a": "b", "c d": "e \\f"}})),
        (&["LABEL 'c d'=e"], json!({"Labels": {"c d": "e"}})),
        (
            &["EXPOSE 80 53/udp 8000-8002/TCP"],
            json!({"ExposedPorts": {"80/tcp": {}, "53/udp": {}, "8000/tcp": {}, "8001/tcp": {}, "8002/tcp": {}}}),
        ),
        (&["ONBUILD RUN make"], json!({"OnBuild": ["RUN make"]})),
        (&["USER 1000:1000"], json!({"User": "1000:1000"})),
        (&["VOLUME /data /more"], json!({"Volumes": {"/data": {}, "/more": {}}})),
        (&["VOLUME [\"/with space\"]"], json!({"Volumes": {"/with space": {}}})),
        (&["WORKDIR /srv", "WORKDIR app"], json!({"WorkingDir": "/srv/app"})),
        (&["WORKDIR app"], json!({"WorkingDir": "/app"})),
        (&["STOPSIGNAL SIGQUIT"], json!({"StopSignal": "SIGQUIT"})),
        (&["HEALTHCHECK NONE"], json!({"Healthcheck": {"Test": ["NONE"]}})),
        (
            &["HEALTHCHECK --interval=1m30s --timeout=500ms --retries=3 CMD curl -f localhost"],
            json!({"Healthcheck": {
                "Interval": 90_000_000_000u64,
                "Timeout": 500_000_000,
                "Retries": 3,
                "Test": ["CMD-SHELL", "curl -f localhost"],
            }}),
        ),
        (&["HEALTHCHECK CMD [\"/check\"]"], json!({"Healthcheck": {"Test": ["CMD", "/check"]}})),
        (&["# nothing", "", "CMD [\"a\"]\nUSER b"], json!({"Cmd": ["a"], "User": "b"})),
    ] {
        assert_eq!(made(lines), expected, "{lines:?}");
    }
}

#[test]
fn what_is_no_change_is_refused() {
    for (line, words) in [
        ("NONSENSE x", "NONSENSE is not a valid change command"),
        ("from scratch", "FROM is not a valid change command"),
        ("RUN make", "RUN is not a valid change command"),
        ("CMD", "change `CMD`: it needs an argument"),
        ("ENV A", "change `ENV`: it needs a name and a value"),
        ("ENV A=1 B", "a name has no value"),
        ("ENV =1", "a name is empty"),
        ("LABEL a=\"b", "a quote is not closed"),
        ("EXPOSE http", "`http` is no port"),
        ("EXPOSE 70000", "`70000` is no port"),
        ("EXPOSE 90-80", "`90-80` is no port"),
        ("EXPOSE 80/icmp", "`80/icmp` is no port"),
        ("ONBUILD ONBUILD RUN x", "Chaining ONBUILD"),
        ("ONBUILD FROM x", "FROM isn't allowed as an ONBUILD trigger"),
        ("USER a b", "it takes one argument"),
        ("HEALTHCHECK curl", "Unknown type \"CURL\""),
        ("HEALTHCHECK --interval=x CMD y", "the value of `--interval` makes no sense"),
        ("HEALTHCHECK --what=1 CMD y", "there is no option `--what`"),
        ("HEALTHCHECK CMD", "Missing command"),
        ("HEALTHCHECK NONE x", "takes no arguments"),
    ] {
        let told = Changes::parse([line]).unwrap_err().to_string();
        assert!(told.contains(words), "{line}: {told}");
    }
}

#[test]
fn durations_are_go_s() {
    for (text, expected) in [
        ("0", Some(0)),
        ("1s", Some(1_000_000_000)),
        ("1.5s", Some(1_500_000_000)),
        ("1h2m3s", Some(3_723_000_000_000)),
        ("10us", Some(10_000)),
        ("", None),
        ("5", None),
        ("s", None),
        ("-1s", None),
        ("1d", None),
        ("9999999999h", None),
    ] {
        assert_eq!(nanoseconds(text), expected, "{text}");
    }
}

proptest! {
    #[test]
    fn any_text_is_taken_or_refused_without_panic(
        keyword in 0..KNOWN.len(),
        rest in "[ a-z0-9=\"'\\\\\\[\\]{},/.-]{0,40}|\\PC{0,20}",
    ) {
        if let Ok(changes) = Changes::parse([format!("{} {rest}", KNOWN[keyword]).as_str()]) {
            prop_assert!(serde_json::to_value(changes).unwrap().is_object());
        }
    }

    #[test]
    fn quoted_words_come_back(values in prop::collection::vec("[a-z \"\\\\$=]{1,8}", 1..4)) {
        let quoted = |value: &String| format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""));
        let line: Vec<String> = values.iter().enumerate().map(|(n, value)| format!("n{n}={}", quoted(value))).collect();
        let read: Vec<String> = pairs(&line.join(" ")).unwrap().into_iter().map(|(_, value)| value).collect();
        prop_assert_eq!(read, values);
    }
}
