//! What the reference library of the distribution project takes, refuses and prints, as tables; and properties.

use proptest::prelude::*;

use super::*;

const HEX: &str = "1a3f5e7d9c1b3a5f7e9d1c3b5a7f9e1d3c5b7a9f1e3d5d7c9b1a3f5e7d9c1b3a";

fn parse(text: &str) -> Reference {
    Reference::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn refusal(text: &str) -> String {
    match Reference::parse(text) {
        Ok(reference) => panic!("{text} was taken for {reference}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn names_are_normalised() {
    for (text, domain, path, familiar) in [
        // Docker Hub.
        ("alpine", "docker.io", "library/alpine", "alpine"),
        ("library/alpine", "docker.io", "library/alpine", "alpine"),
        ("docker.io/alpine", "docker.io", "library/alpine", "alpine"),
        ("docker.io/library/alpine", "docker.io", "library/alpine", "alpine"),
        ("index.docker.io/alpine", "docker.io", "library/alpine", "alpine"),
        ("index.docker.io/library/ubuntu-12.04-base", "docker.io", "library/ubuntu-12.04-base", "ubuntu-12.04-base"),
        ("acme/app", "docker.io", "acme/app", "acme/app"),
        ("index.docker.io/acme/app", "docker.io", "acme/app", "acme/app"),
        ("library/foo/bar", "docker.io", "library/foo/bar", "library/foo/bar"),
        ("store/foo/bar", "docker.io", "store/foo/bar", "store/foo/bar"),
        ("other/library", "docker.io", "other/library", "other/library"),
        ("test_com/foo", "docker.io", "test_com/foo", "test_com/foo"),
        ("localhost", "docker.io", "library/localhost", "localhost"),
        ("192.168.0.1", "docker.io", "library/192.168.0.1", "192.168.0.1"),
        ("foo_bar.com", "docker.io", "library/foo_bar.com", "foo_bar.com"),
        ("d/docker", "docker.io", "d/docker", "d/docker"),
        ("dock__er/docker---rules", "docker.io", "dock__er/docker---rules", "dock__er/docker---rules"),
        // Other registries.
        ("localhost/app", "localhost", "app", "localhost/app"),
        ("localhost/a/b", "localhost", "a/b", "localhost/a/b"),
        ("localhost:5000/app", "localhost:5000", "app", "localhost:5000/app"),
        ("127.0.0.1:8000/a/b", "127.0.0.1:8000", "a/b", "127.0.0.1:8000/a/b"),
        ("192.168.1.1/repo", "192.168.1.1", "repo", "192.168.1.1/repo"),
        ("test:5000/repo", "test:5000", "repo", "test:5000/repo"),
        ("test-com:8080/foo", "test-com:8080", "foo", "test-com:8080/foo"),
        ("xn--n3h.com:18080/foo", "xn--n3h.com:18080", "foo", "xn--n3h.com:18080/foo"),
        ("sub-dom1.foo.com/bar/baz", "sub-dom1.foo.com", "bar/baz", "sub-dom1.foo.com/bar/baz"),
        ("b.gcr.io/test.example.com/my-app", "b.gcr.io", "test.example.com/my-app", "b.gcr.io/test.example.com/my-app"),
        ("gcr.io/library/busybox", "gcr.io", "library/busybox", "gcr.io/library/busybox"),
        ("[2001:db8::1]/repo", "[2001:db8::1]", "repo", "[2001:db8::1]/repo"),
        ("[::1]:5000/a/repo", "[::1]:5000", "a/repo", "[::1]:5000/a/repo"),
        ("[fc00:1:2:3:4:5:6:7]:5000/x", "[fc00:1:2:3:4:5:6:7]:5000", "x", "[fc00:1:2:3:4:5:6:7]:5000/x"),
        // Upper case in front of the first slash can only be a host.
        ("LOCALDOMAIN/foo", "LOCALDOMAIN", "foo", "LOCALDOMAIN/foo"),
        ("Foo/bar", "Foo", "bar", "Foo/bar"),
        ("Docker.io/bar", "Docker.io", "bar", "Docker.io/bar"),
        // What would read as something else when shortened, is not.
        ("docker.io/foo.bar/app", "docker.io", "foo.bar/app", "docker.io/foo.bar/app"),
        ("docker.io/localhost/app", "docker.io", "localhost/app", "docker.io/localhost/app"),
        ("docker.io/docker.io/app", "docker.io", "docker.io/app", "docker.io/docker.io/app"),
    ] {
        let reference = parse(text);
        let repository = reference.repository();
        assert_eq!((repository.domain(), repository.path()), (domain, path), "{text}");
        assert_eq!(reference.to_string(), format!("{domain}/{path}"));
        assert_eq!(reference.familiar(), familiar);
        assert_eq!(parse(familiar), reference);
        assert_eq!(Repository::parse(text).as_ref(), Ok(repository));
        assert_eq!((reference.tag(), reference.digest()), (None, None));
    }
}

#[test]
fn a_name_of_hex_digits_needs_something_around_it() {
    assert_eq!(refusal(HEX), format!("invalid repository name ({HEX}), cannot specify 64-byte hexadecimal strings"));
    assert_eq!(parse(&HEX[1..]).repository().path(), format!("library/{}", &HEX[1..]));
    assert_eq!(parse(&format!("{HEX}:1")).tag(), Some("1"));
    let whole = parse(&format!("docker.io/{HEX}"));
    assert_eq!(whole.repository().path(), format!("library/{HEX}"));
    assert_eq!(whole.familiar(), format!("library/{HEX}"));
    assert_eq!(parse(&whole.familiar()), whole);
}

#[test]
fn tags_and_digests_are_split_off() {
    let digest = format!("sha256:{HEX}");
    let long = format!("sha512:{HEX}{HEX}");
    for (text, canonical, tag, expected) in [
        ("test.com:tag", "docker.io/library/test.com:tag", Some("tag"), None),
        ("test.com:5000", "docker.io/library/test.com:5000", Some("5000"), None),
        ("foo/foo_bar.com:8080", "docker.io/foo/foo_bar.com:8080", Some("8080"), None),
        ("test.com/repo:tag", "test.com/repo:tag", Some("tag"), None),
        ("192.168.1.1:5000/repo:5050", "192.168.1.1:5000/repo:5050", Some("5050"), None),
        ("lowercase:Uppercase", "docker.io/library/lowercase:Uppercase", Some("Uppercase"), None),
        ("[2001:db8::1]:5000/repo:tag", "[2001:db8::1]:5000/repo:tag", Some("tag"), None),
        ("repo@D", "docker.io/library/repo@D", None, Some(&digest)),
        ("test:5000/repo@D", "test:5000/repo@D", None, Some(&digest)),
        ("test:5000/repo:tag@D", "test:5000/repo:tag@D", Some("tag"), Some(&digest)),
        ("[::1]:5000/repo:tag@D", "[::1]:5000/repo:tag@D", Some("tag"), Some(&digest)),
        ("repo@L", "docker.io/library/repo@L", None, Some(&long)),
    ] {
        let fill = |text: &str| text.replace("@D", &format!("@{digest}")).replace("@L", &format!("@{long}"));
        let reference = parse(&fill(text));
        assert_eq!(reference.to_string(), fill(canonical));
        assert_eq!(reference.tag(), tag);
        assert_eq!(reference.digest().map(|digest| digest.to_string()).as_ref(), expected);
    }
}

#[test]
fn refusals_are_in_dockerds_words() {
    let format = "invalid reference format";
    let uppercase = |name: &str| format!("{format}: repository name ({name}) must be lowercase");
    let ff = "f".repeat(64);
    for (text, error) in [
        (String::new(), format.to_owned()),
        ("/".to_owned(), format.to_owned()),
        (":justtag".to_owned(), format.to_owned()),
        (format!("@sha256:{ff}"), format.to_owned()),
        ("repo:".to_owned(), format.to_owned()),
        ("repo@".to_owned(), format.to_owned()),
        ("repo:a:b".to_owned(), format.to_owned()),
        ("repo:-a".to_owned(), format.to_owned()),
        (format!("repo:{}", "a".repeat(129)), format.to_owned()),
        (format!("repo@sha256:{ff}:tag"), format.to_owned()),
        (format!("repo@sha256:{ff}@sha256:{ff}"), format.to_owned()),
        ("https://github.com/docker/docker".to_owned(), format.to_owned()),
        ("aa/asdf$$^/aa".to_owned(), format.to_owned()),
        ("-docker/docker".to_owned(), format.to_owned()),
        ("-docker.io/docker/docker".to_owned(), format.to_owned()),
        ("docker-/docker".to_owned(), format.to_owned()),
        ("_docker/_docker".to_owned(), format.to_owned()),
        ("____/____".to_owned(), format.to_owned()),
        ("dock..er/docker".to_owned(), format.to_owned()),
        ("dock_.er/docker".to_owned(), format.to_owned()),
        ("dock-.er/docker".to_owned(), format.to_owned()),
        ("docker///docker".to_owned(), format.to_owned()),
        ("docker.io/docker///docker".to_owned(), format.to_owned()),
        ("docker/".to_owned(), format.to_owned()),
        ("docker.io/".to_owned(), format.to_owned()),
        ("[fc00::1]".to_owned(), format.to_owned()),
        ("[fc00::1]:5000".to_owned(), format.to_owned()),
        ("[2001:db8::1]:tag".to_owned(), format.to_owned()),
        ("fc00::1:5000/debian".to_owned(), format.to_owned()),
        ("[fe80::1%eth0]:5000/debian".to_owned(), format.to_owned()),
        ("[fe80::1%@invalidzone]:5000/repo".to_owned(), format.to_owned()),
        ("[2001:db8:3:4::192.0.2.33]:5000/debian".to_owned(), format.to_owned()),
        ("a b".to_owned(), format.to_owned()),
        ("alpine ".to_owned(), format.to_owned()),
        (" alpine".to_owned(), format.to_owned()),
        ("alpine\n".to_owned(), format.to_owned()),
        ("../../etc".to_owned(), format.to_owned()),
        ("alpiné".to_owned(), format.to_owned()),
        (format!("{}.com/a", "a".repeat(260)), format.to_owned()),
        ("UPPER".to_owned(), uppercase("library/UPPER")),
        ("Uppercase:tag".to_owned(), uppercase("library/Uppercase")),
        ("UPPER/Case".to_owned(), uppercase("Case")),
        ("docker/Docker".to_owned(), uppercase("docker/Docker")),
        ("docker.io/docker/Docker".to_owned(), uppercase("docker/Docker")),
        ("test:5000/Uppercase/lowercase:tag".to_owned(), uppercase("Uppercase/lowercase")),
        ("ÄRGER".to_owned(), uppercase("library/ÄRGER")),
        ("MY_ORG/app".to_owned(), "repository name must be lowercase".to_owned()),
        (format!("repo@sha256:{}", &ff[30..]), "invalid checksum digest length".to_owned()),
        (format!("repo@sha256:{ff}f"), "invalid checksum digest length".to_owned()),
        (format!("repo:1@sha256:{}", ff.to_uppercase()), "invalid checksum digest format".to_owned()),
        (format!("repo:1@SHA256:{ff}"), "invalid checksum digest format".to_owned()),
        (format!("repo@sha256:{}", &ff[33..]), format.to_owned()),
        (format!("repo@invaliddigest:{ff}"), "unsupported digest algorithm".to_owned()),
        (format!("repo@sha256:{}g", &ff[1..]), format.to_owned()),
        (format!("domain/{}:tag", "a".repeat(256)), "repository name must not be more than 255 characters".to_owned()),
    ] {
        assert_eq!(refusal(&text), error, "{text}");
    }
}

#[test]
fn the_longest_names_are_taken() {
    let path = "a".repeat(255);
    let text = format!("example.com/{path}:{}", "t".repeat(128));
    assert_eq!(parse(&text).to_string(), text);
    let deep = format!("{}a:tag-that-does-not-count", "a/".repeat(120));
    assert_eq!(parse(&deep).repository().path().len(), 241);
    // `library/` counts.
    assert_eq!(refusal(&"a".repeat(248)), "repository name must not be more than 255 characters");
}

#[test]
fn a_host_that_only_a_path_could_spell_is_refused() {
    // The reference library takes these for paths without any domain.
    assert_eq!(refusal("foo_bar.com/x"), "invalid reference format");
    assert_eq!(refusal("docker_.io/x"), "invalid reference format");
}

#[test]
fn an_error_does_not_repeat_foreign_text_without_bounds() {
    let error = refusal(&format!("a/\u{1b}[2J{}", "X".repeat(100_000)));
    assert!(error.len() < 500 && !error.contains('\u{1b}'), "{error}");
}

#[test]
fn parts_are_put_on_and_taken_off() {
    let digest: Digest = format!("sha256:{HEX}").parse().unwrap();
    let bare = parse("alpine");
    assert_eq!(bare.clone().or_latest().to_string(), "docker.io/library/alpine:latest");
    assert_eq!(bare.with_tag("3.20").unwrap().or_latest().to_string(), "docker.io/library/alpine:3.20");
    assert_eq!(bare.with_digest(digest).or_latest().tag(), None);
    let both = bare.with_tag("1").unwrap().with_digest(digest);
    assert_eq!(both.familiar(), format!("alpine:1@{digest}"));
    assert_eq!(both.without_digest().familiar(), "alpine:1");
    assert_eq!(both.without_tag().familiar(), format!("alpine@{digest}"));
    assert_eq!(both.with_tag("2").unwrap().familiar(), format!("alpine:2@{digest}"));
    assert_eq!(Reference::from(both.repository().clone()), bare);
    assert_eq!(both.into_repository(), *bare.repository());
    for tag in ["", "-bad", "bad tag!", "a:b", "a@b", &"a".repeat(129)] {
        assert_eq!(bare.with_tag(tag).unwrap_err().to_string(), "invalid tag format", "{tag}");
    }
}

#[test]
fn a_pull_is_named_by_tag_or_by_the_whole_name() {
    let digest = format!("sha256:{HEX}");
    assert_eq!(parse("alpine:3.18").tag_or_canonical(), "3.18");
    assert_eq!(parse(&format!("alpine:3.18@{digest}")).tag_or_canonical(), "3.18");
    assert_eq!(parse(&format!("alpine@{digest}")).tag_or_canonical(), format!("docker.io/library/alpine@{digest}"));
}

#[test]
fn scratch_is_reserved_on_docker_hub_alone() {
    for text in ["scratch", "scratch:1", "docker.io/library/scratch", "index.docker.io/scratch"] {
        assert_eq!(parse(text).check_reserved().unwrap_err().to_string(), "'scratch' is a reserved name", "{text}");
    }
    for text in ["localhost/scratch", "acme/scratch", "scratch/app", "scratch2"] {
        assert_eq!(parse(text).check_reserved(), Ok(()), "{text}");
    }
}

#[test]
fn a_repository_has_neither_tag_nor_digest() {
    for text in ["alpine:1".to_owned(), format!("alpine@sha256:{HEX}")] {
        let error = Repository::parse(&text).unwrap_err().to_string();
        assert_eq!(error, format!("`{text}` is more than the name of a repository: it has a tag or a digest"));
    }
    assert_eq!("alpine".parse::<Repository>().unwrap().familiar(), "alpine");
    assert!("UPPER".parse::<Repository>().is_err());
}

#[test]
fn names_sort_by_repository_then_tag() {
    let mut names = ["b", "a:2", "a:1", "a", "b.com/a"].map(parse);
    names.sort();
    assert_eq!(names.map(|name| name.familiar()), ["b.com/a", "a", "a:1", "a:2", "b"]);
}

/// Names that the grammar allows, in every shape.
fn name() -> impl Strategy<Value = String> {
    let host = prop_oneof![
        "[a-zA-Z0-9]([a-zA-Z0-9-]{0,5}[a-zA-Z0-9])?(\\.[a-zA-Z0-9]{1,4}){1,3}",
        "localhost",
        // Without a colon, brackets do not look like a host.
        "\\[[0-9a-fA-F]{0,4}:[0-9a-fA-F:]{0,8}\\]",
        Just("docker.io".to_owned()),
        Just("index.docker.io".to_owned()),
    ];
    let domain = (host, proptest::option::of("[0-9]{1,5}")).prop_map(|(host, port)| match port {
        Some(port) => format!("{host}:{port}/"),
        None => format!("{host}/"),
    });
    let domain = prop_oneof![Just(String::new()), domain];
    (domain, "[a-z0-9]{1,4}((\\.|_|__|-{1,3})[a-z0-9]{1,4}){0,2}(/[a-z0-9]{1,4}((\\.|_|__|-)[a-z0-9]{1,4}){0,2}){0,3}")
        .prop_map(|(domain, path)| format!("{domain}{path}"))
        // Without a domain, `a_b.c/d` would be split after the first slash, to a host that may not have an underscore.
        .prop_filter("no host with an underscore", |name| {
            name.split_once('/').is_none_or(|(first, _)| !first.contains('_') || !first.contains('.'))
        })
        .prop_filter("no bare image ID", |name| !grammar::is_identifier(name))
}

fn suffix() -> impl Strategy<Value = String> {
    let tag = proptest::option::of("[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,20}");
    let digest = proptest::option::of("[0-9a-f]{64}");
    (tag, digest).prop_map(|(tag, digest)| {
        let tag = tag.map(|tag| format!(":{tag}")).unwrap_or_default();
        let digest = digest.map(|digest| format!("@sha256:{digest}")).unwrap_or_default();
        format!("{tag}{digest}")
    })
}

proptest! {
    #[test]
    fn what_the_grammar_allows_is_taken_and_reads_back(name in name(), suffix in suffix()) {
        let text = format!("{name}{suffix}");
        let reference = Reference::parse(&text);
        prop_assert!(reference.is_ok(), "{}: {:?}", text, reference);
        let reference = reference.unwrap();
        prop_assert_eq!(&Reference::parse(&reference.to_string()).unwrap(), &reference);
        prop_assert_eq!(&Reference::parse(&reference.familiar()).unwrap(), &reference);
        prop_assert!(reference.to_string().ends_with(&suffix));
        prop_assert!(reference.to_string().ends_with(&text) || text.starts_with("index.") || text.starts_with("docker.io/"));
        prop_assert!(reference.familiar().len() <= reference.to_string().len());
    }

    #[test]
    fn any_text_is_taken_or_refused_without_panic(text: String) {
        if let Ok(reference) = Reference::parse(&text) {
            prop_assert_eq!(Reference::parse(&reference.to_string()).unwrap(), reference);
        }
    }

    #[test]
    fn near_misses_are_taken_or_refused_without_panic(text in "[a-zA-B0-9._:/@\\[\\]-]{0,40}") {
        if let Ok(reference) = Reference::parse(&text) {
            prop_assert_eq!(&Reference::parse(&reference.to_string()).unwrap(), &reference);
            prop_assert_eq!(&Reference::parse(&reference.familiar()).unwrap(), &reference);
            prop_assert!(reference.repository().path().len() <= 255);
            prop_assert!(!reference.repository().path().contains(".."));
        }
    }
}
