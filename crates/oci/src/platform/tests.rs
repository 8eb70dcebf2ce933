//! Platforms as text, as JSON, and what runs on what.

use proptest::prelude::*;

use super::*;

fn parse(text: &str) -> Platform {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// A platform as an index might spell it: nothing is normalised.
fn raw(text: &str) -> Platform {
    let mut parts = text.split('/').map(str::to_owned);
    let (os, architecture) = (parts.next().unwrap(), parts.next().unwrap());
    Platform { os, architecture, variant: parts.next(), ..Platform::default() }
}

#[test]
fn every_spelling_is_brought_to_one() {
    for (text, expected) in [
        ("linux/amd64", "linux/amd64"),
        ("linux/amd64/v1", "linux/amd64"),
        ("linux/amd64/v3", "linux/amd64/v3"),
        ("Linux/x86_64", "linux/amd64"),
        ("linux/x86-64", "linux/amd64"),
        ("linux/AMD64/V2", "linux/amd64/v2"),
        ("linux/i386", "linux/386"),
        ("linux/i386/i686", "linux/386"),
        ("linux/arm64", "linux/arm64"),
        ("linux/aarch64", "linux/arm64"),
        ("linux/arm64/v8", "linux/arm64"),
        ("linux/arm64/8", "linux/arm64"),
        ("linux/arm64/v8.0", "linux/arm64"),
        ("linux/arm64/v8.2", "linux/arm64/v8.2"),
        ("linux/arm64/9", "linux/arm64/v9"),
        ("linux/arm64/v9.0", "linux/arm64/v9"),
        ("linux/arm", "linux/arm/v7"),
        ("linux/arm/7", "linux/arm/v7"),
        ("linux/arm/5", "linux/arm/v5"),
        ("linux/arm/6", "linux/arm/v6"),
        ("linux/arm/8", "linux/arm/v8"),
        ("linux/arm/v6", "linux/arm/v6"),
        ("linux/armhf", "linux/arm/v7"),
        ("linux/armel", "linux/arm/v6"),
        ("linux/s390x", "linux/s390x"),
        ("linux/mips64le", "linux/mips64le"),
        ("macOS/arm64", "darwin/arm64"),
        ("windows(10.0.20348.2113)/amd64", "windows(10.0.20348.2113)/amd64"),
        ("windows()/amd64", "windows/amd64"),
        // Nothing says that a platform must be known, as long as both halves are there.
        ("plan10/z80/turbo-1.5", "plan10/z80/turbo-1.5"),
    ] {
        assert_eq!(parse(text).to_string(), expected, "{text}");
        assert_eq!(parse(expected), parse(text), "{text}");
        assert_eq!(parse(text).normalize(), parse(text), "{text}");
    }
}

#[test]
fn a_single_word_is_completed_from_this_machine() {
    let host = Platform::host();
    for (text, expected) in [
        ("amd64", "linux/amd64"),
        ("x86_64", "linux/amd64"),
        ("Aarch64", "linux/arm64"),
        ("arm", "linux/arm/v7"),
        ("armel", "linux/arm/v6"),
        ("s390x", "linux/s390x"),
        ("386", "linux/386"),
    ] {
        assert_eq!(parse(text).to_string(), expected.replace("linux", &host.os), "{text}");
    }
    assert_eq!(parse("linux"), Platform { os: "linux".to_owned(), ..host.clone() });
    assert_eq!(parse("macos").os, "darwin");
    let windows = parse("windows(10.0.17763)");
    assert_eq!((windows.os_version.as_deref(), windows.architecture), (Some("10.0.17763"), host.architecture));
}

#[test]
fn the_host_is_in_gos_words_and_normal() {
    let host = Platform::host();
    assert_eq!(host.clone().normalize(), host);
    assert!(SYSTEMS.contains(&host.os.as_str()) && ARCHITECTURES.contains(&host.architecture.as_str()), "{host}");
    assert_eq!(parse(&host.to_string()), host);
    assert_eq!(host.rank(&host), Some(0));
    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    assert_eq!(host.to_string(), "linux/amd64");
}

#[test]
fn refusals_are_in_dockerds_words() {
    for (text, error) in [
        ("foobar", r#""foobar": unknown operating system or architecture: invalid argument"#),
        ("amd64(1)", r#""amd64(1)": unknown operating system or architecture: invalid argument"#),
        ("a/b/c/d", r#""a/b/c/d": cannot parse platform specifier: invalid argument"#),
        ("linux/*", r#""linux/*": wildcards not yet supported: invalid argument"#),
        (
            "linux/a b",
            r#""a b" is an invalid component of "linux/a b": platform specifier component must match "^[A-Za-z0-9_.-]+$": invalid argument"#,
        ),
    ] {
        assert_eq!(text.parse::<Platform>().unwrap_err().to_string(), error);
    }
    for text in
        ["", "/", "/amd64", "linux.5/amd64", "linux(/amd64", "(1)/amd64", "linux)(", "linux(1+x)/amd64", "lïnux/amd64"]
    {
        let error = text.parse::<Platform>().unwrap_err();
        assert!(matches!(error, ParsePlatformError::System { .. }), "{text}: {error}");
    }
    for text in ["linux/", "linux//v7", "linux/arm/", "linux/arm/v7/", "linux/arm/v7/a/b", "linux/ärm"] {
        let error = text.parse::<Platform>().unwrap_err();
        assert!(matches!(error, ParsePlatformError::Component { .. }), "{text}: {error}");
    }
}

#[test]
fn json_is_ocis_and_keeps_the_spelling() {
    let text = r#"{"architecture":"arm64","os":"linux","variant":"v8"}"#;
    let platform: Platform = serde_json::from_str(text).unwrap();
    assert_eq!(platform, raw("linux/arm64/v8"));
    assert_eq!(serde_json::to_string(&platform).unwrap(), text);

    let text = r#"{"architecture":"amd64","os":"windows","os.version":"10.0.20348","os.features":["win32k"]}"#;
    let platform: Platform = serde_json::from_str(text).unwrap();
    assert_eq!(platform.os_version.as_deref(), Some("10.0.20348"));
    assert_eq!(platform.os_features, ["win32k"]);
    assert_eq!(serde_json::to_string(&platform).unwrap(), text);

    let blank =
        r#"{"architecture":null,"os":"linux","os.version":"","os.features":null,"variant":null,"features":["x"]}"#;
    let platform: Platform = serde_json::from_str(blank).unwrap();
    assert_eq!(platform, Platform { os: "linux".to_owned(), ..Platform::default() });
    assert_eq!(platform.to_string(), "linux/unknown");
    assert_eq!(Platform::default().to_string(), "unknown/unknown");

    for bad in ["null", "[]", r#"["amd64","linux",null,[],null]"#, r#"{"os":1}"#, r#""linux/amd64""#] {
        assert!(serde_json::from_str::<Platform>(bad).is_err(), "{bad}");
    }
}

/// What a platform takes, best first, and what it does not take.
const RUNS: &[(&str, &[&str], &[&str])] = &[
    ("linux/amd64", &["linux/amd64", "linux/386"], &["linux/amd64/v2", "linux/arm/v7", "linux/arm64", "windows/amd64"]),
    (
        "linux/amd64/v3",
        &["linux/amd64/v3", "linux/amd64/v2", "linux/amd64/v1", "linux/386"],
        &["linux/amd64/v4", "linux/amd64/v0", "linux/amd64/x", "linux/386/sse2"],
    ),
    (
        "linux/amd64/v4",
        &["linux/amd64/v4", "linux/amd64/v3", "linux/amd64/v2", "linux/amd64", "linux/386"],
        &["linux/amd64/v5"],
    ),
    ("linux/386", &["linux/386"], &["linux/amd64", "linux/arm"]),
    (
        "linux/arm/v8",
        &["linux/arm/v8", "linux/arm/v7", "linux/arm/v6", "linux/arm/v5"],
        &["linux/arm/v4", "linux/arm64", "linux/arm/v9"],
    ),
    (
        "linux/arm/v7",
        &["linux/arm", "linux/arm/v6", "linux/arm/v5"],
        &["linux/arm/v8", "linux/arm/v4", "linux/arm64", "linux/arm/x"],
    ),
    ("linux/arm/v6", &["linux/arm/v6", "linux/arm/v5"], &["linux/arm", "linux/arm/v7", "linux/arm/v4"]),
    ("linux/arm/v5", &["linux/arm/v5"], &["linux/arm", "linux/arm/v6", "linux/arm/v4"]),
    ("linux/arm/v4", &["linux/arm/v4"], &["linux/arm", "linux/arm/v5", "linux/arm/v3"]),
    (
        "linux/arm64",
        &["linux/arm64/v8", "linux/arm/v8", "linux/arm/v7", "linux/arm/v6", "linux/arm/v5"],
        &["linux/arm64/v8.1", "linux/arm64/v9", "linux/arm/v9", "linux/arm/v4", "linux/amd64"],
    ),
    (
        "linux/arm64/v8.2",
        &["linux/arm64/v8.2", "linux/arm64/v8.1", "linux/aarch64", "linux/arm/v8", "linux/arm/v7"],
        &["linux/arm64/v8.3", "linux/arm64/v9"],
    ),
    (
        "linux/arm64/v9",
        &["linux/arm64/v9.0", "linux/arm64/v8.5", "linux/arm64/v8.4", "linux/arm64/v8", "linux/arm/v8"],
        &["linux/arm64/v9.1", "linux/arm64/v8.6"],
    ),
    (
        "linux/arm64/v9.6",
        &["linux/arm64/v9.6", "linux/arm64/v9.5", "linux/arm64/v9", "linux/arm64/v8.9", "linux/arm64", "linux/arm/v7"],
        &["linux/arm64/v9.7", "linux/arm64/v8.10", "linux/amd64"],
    ),
    ("linux/arm64/v10", &["linux/arm64/v10"], &["linux/arm64", "linux/arm/v8"]),
    ("linux/ppc64le", &["linux/ppc64le"], &["linux/ppc64", "linux/ppc64le/power9"]),
    ("linux/riscv64/rva23", &["linux/riscv64/rva23"], &["linux/riscv64"]),
];

#[test]
fn what_runs_on_what_and_better() {
    for (wanted, good, bad) in RUNS {
        let wanted = parse(wanted);
        let ranks: Vec<u32> = good
            .iter()
            .map(|offered| wanted.rank(&raw(offered)).unwrap_or_else(|| panic!("{offered} on {wanted}")))
            .collect();
        assert_eq!(ranks[0], 0, "{wanted}");
        assert!(ranks.is_sorted_by(|a, b| a < b), "{wanted}: {ranks:?}");
        for offered in *bad {
            assert_eq!(wanted.rank(&raw(offered)), None, "{offered} on {wanted}");
        }
    }
}

#[test]
fn windows_images_are_for_a_version() {
    let offered = Platform {
        os_version: Some("10.0.20348.2113".to_owned()),
        os_features: vec!["win32k".to_owned()],
        ..raw("windows/amd64")
    };
    for (wanted, takes) in [
        ("windows/amd64", true),
        ("windows(10.0.20348)/amd64", true),
        ("windows(10.0.20348.2113)/amd64", true),
        ("windows(10.0.2034)/amd64", false),
        ("windows(10.0.17763)/amd64", false),
        ("linux/amd64", false),
    ] {
        assert_eq!(parse(wanted).rank(&offered).is_some(), takes, "{wanted}");
    }
    assert_eq!(parse("windows(10.0.17763)/amd64").rank(&raw("windows/amd64")), None);
    // On other systems the version says nothing.
    assert_eq!(parse("linux(6.1)/amd64").rank(&raw("linux/amd64")), Some(0));
}

#[test]
fn features_must_be_there_and_used_ones_count() {
    let with = |features: &[&str], text: &str| Platform {
        os_features: features.iter().map(|&feature| feature.to_owned()).collect(),
        ..raw(text)
    };
    let plain = raw("linux/amd64/v2");
    assert_eq!(plain.rank(&with(&["gpu"], "linux/amd64/v2")), None);
    let rich = with(&["gpu", "simd"], "linux/amd64/v2");
    let ranks = [
        with(&["simd", "gpu"], "linux/amd64/v2"),
        with(&["gpu"], "linux/amd64/v2"),
        plain,
        with(&["gpu", "simd"], "linux/amd64"),
    ]
    .map(|offered| rich.rank(&offered).unwrap());
    assert!(ranks[0] == 0 && ranks.is_sorted_by(|a, b| a < b), "{ranks:?}");
}

proptest! {
    #[test]
    fn text_round_trips(os in "[a-z]{1,8}", architecture in "[a-z0-9_]{1,8}", variant in proptest::option::of("v[0-9.]{1,4}"),
                        version in proptest::option::of("[0-9.]{1,9}")) {
        let platform = Platform { os, architecture, variant, os_version: version, os_features: Vec::new() }.normalize();
        prop_assert_eq!(&parse(&platform.to_string()), &platform);
        prop_assert_eq!(&platform.clone().normalize(), &platform);
        prop_assert_eq!(platform.rank(&platform), Some(0));
        let json = serde_json::to_string(&platform).unwrap();
        prop_assert_eq!(serde_json::from_str::<Platform>(&json).unwrap(), platform);
    }

    #[test]
    fn any_text_is_taken_or_refused_without_panic(text: String, near in "[a-z0-9/().+_-]{0,20}") {
        for text in [text, near] {
            if let Ok(platform) = text.parse::<Platform>() {
                prop_assert_eq!(parse(&platform.to_string()), platform);
            }
        }
    }

    #[test]
    fn any_platform_is_ranked_without_panic(
        a in ("(linux|windows|)", "(amd64|arm|arm64|386|)", proptest::option::of("v?[0-9]{0,12}\\.?[0-9]{0,12}")),
        b in ("(linux|windows|)", "(amd64|arm|arm64|386|)", proptest::option::of("v?[0-9]{0,12}\\.?[0-9]{0,12}")),
    ) {
        let platform = |(os, architecture, variant)| Platform { os, architecture, variant, ..Platform::default() };
        let (a, b) = (platform(a), platform(b));
        if let (Some(there), Some(back)) = (a.rank(&b), b.rank(&a)) {
            // Only what is the same runs both ways.
            prop_assert_eq!((there, back), (0, 0));
            prop_assert_eq!(a.normalize(), b.normalize());
        }
    }
}
