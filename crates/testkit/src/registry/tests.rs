use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use base64::Engine as _;
use serde_json::Value;

use super::{Auth, Fault, Gate, Lifetime, Outcome, Registry, Rule, Target, TokenAuth, peak};
use crate::Blob;
use crate::http::{Response, get};
use crate::image::ImageBuilder;
use crate::layer::{LayerBuilder, noise};

struct Served {
    registry: Registry,
    digest: String,
    bytes: Vec<u8>,
}

/// A registry with one blob of 300 000 bytes that don't repeat.
fn served() -> Served {
    let registry = Registry::start().unwrap();
    let bytes = noise(3, 300_000);
    let blob = Blob::new(bytes.clone());
    registry.put_blob("some/repo", &blob);
    Served { registry, digest: blob.digest, bytes }
}

impl Served {
    fn path(&self) -> String {
        format!("/v2/some/repo/blobs/{}", self.digest)
    }

    fn get(&self) -> Response {
        get(self.registry.address(), &self.path(), &[]).unwrap()
    }

    fn range(&self, range: &str) -> Response {
        get(self.registry.address(), &self.path(), &[("Range", range)]).unwrap()
    }

    fn blob(&self) -> Target {
        Target::Blob(self.digest.clone())
    }
}

#[test]
fn an_image_is_served_by_tag_and_by_digest() {
    let registry = Registry::start().unwrap();
    let image = ImageBuilder::new().layer(LayerBuilder::new().file("a", "1").gzip()).build();
    let name = registry.put_image("a/b", "latest", &image);
    assert_eq!(name, format!("{}/a/b:latest", registry.address()));
    assert_eq!(get(registry.address(), "/v2/", &[]).unwrap().status, 200);
    for reference in ["latest", image.digest()] {
        let answer = get(registry.address(), &format!("/v2/a/b/manifests/{reference}"), &[]).unwrap();
        assert_eq!((answer.status, &answer.body), (200, &image.top.bytes));
        assert_eq!(answer.header("docker-content-digest"), Some(image.digest()));
        assert_eq!(answer.header("content-type"), Some(image.top.media_type.as_str()));
    }
    for blob in &image.blobs {
        let answer = get(registry.address(), &format!("/v2/a/b/blobs/{}", blob.digest), &[]).unwrap();
        assert_eq!(answer.body, blob.content.to_vec().unwrap());
        assert_eq!(registry.blob_gets(&blob.digest), 1);
    }
    for (path, code) in [("a/b/manifests/other", "MANIFEST_UNKNOWN"), ("x/tags/list", "NAME_UNKNOWN")] {
        let answer = get(registry.address(), &format!("/v2/{path}"), &[]).unwrap();
        let body: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!((answer.status, &body["errors"][0]["code"]), (404, &code.into()), "{path}");
    }
}

#[test]
fn a_head_has_no_body_and_keeps_the_connection() {
    let served = served();
    let mut stream = TcpStream::connect(served.registry.address()).unwrap();
    let ask = |method: &str, more: &str| format!("{method} {} HTTP/1.1\r\nHost: x\r\n{more}\r\n", served.path());
    stream.write_all(ask("HEAD", "").as_bytes()).unwrap();
    stream.write_all(ask("GET", "Range: bytes=0-3\r\nConnection: close\r\n").as_bytes()).unwrap();
    let mut answers = Vec::new();
    stream.read_to_end(&mut answers).unwrap();
    let text = String::from_utf8_lossy(&answers);
    assert_eq!(text.matches("HTTP/1.1 ").count(), 2, "{text}");
    assert!(text.contains("Content-Length: 300000\r\n\r\nHTTP/1.1 206"), "{text}");
    assert!(answers.ends_with(&served.bytes[..4]));
    let requests = served.registry.requests();
    assert_eq!(requests.iter().map(|request| request.connection).collect::<Vec<_>>(), [0, 0]);
    assert_eq!(served.registry.blob_gets(&served.digest), 1);
}

#[test]
fn ranges_are_served_and_refused() {
    let served = served();
    let answer = served.range("bytes=1000-1999");
    assert_eq!((answer.status, &answer.body[..]), (206, &served.bytes[1000..2000]));
    assert_eq!(answer.header("content-range"), Some("bytes 1000-1999/300000"));
    assert_eq!(served.range("bytes=299999-").body, &served.bytes[299_999..]);
    let answer = served.range("bytes=300000-");
    assert_eq!((answer.status, answer.header("content-range")), (416, Some("bytes */300000")));
    assert_eq!(served.registry.requests()[0].range.as_deref(), Some("bytes=1000-1999"));
}

#[test]
fn faults_of_ranges_strike_ranged_requests_alone() {
    let strike = |fault: Fault| {
        let served = served();
        let rule = served.registry.rule(Rule::new(served.blob(), fault).times(1));
        assert_eq!(served.get().body, served.bytes);
        assert_eq!(rule.struck(), 0);
        let answer = served.range("bytes=1000-");
        assert_eq!(rule.struck(), 1);
        let healthy = served.range("bytes=1000-");
        assert_eq!((healthy.status, &healthy.body[..]), (206, &served.bytes[1000..]));
        (answer, served.bytes)
    };
    let (answer, bytes) = strike(Fault::IgnoreRange);
    assert_eq!((answer.status, answer.body), (200, bytes));
    let (answer, bytes) = strike(Fault::OtherRange { start: 5 });
    assert_eq!((answer.status, answer.header("content-range")), (206, Some("bytes 5-299999/300000")));
    assert_eq!(answer.body, &bytes[5..]);
    let (answer, bytes) = strike(Fault::WrongContentRange { start: 7 });
    assert_eq!(answer.header("content-range"), Some("bytes 7-299006/300000"));
    assert_eq!(answer.body, &bytes[1000..]);
    let (answer, _) = strike(Fault::RangeRefused);
    assert_eq!((answer.status, answer.body.len()), (416, 0));
}

#[test]
fn bodies_are_cut_flipped_and_of_wrong_length() {
    let strike = |fault: Fault| {
        let served = served();
        served.registry.rule(Rule::new(served.blob(), fault).times(1));
        let answer = served.get();
        assert_eq!(served.get().body, served.bytes, "the second time nothing is wrong");
        let outcome = served.registry.requests()[0].outcome;
        (answer, served.bytes, outcome)
    };
    let (answer, bytes, outcome) = strike(Fault::Cut { after: 123_456 });
    assert_eq!((&answer.body[..], outcome), (&bytes[..123_456], Outcome::Cut));
    assert!(answer.broken.is_some());
    let (answer, _, outcome) = strike(Fault::Reset { after: 0 });
    assert!(answer.broken.unwrap().contains("reset"));
    assert_eq!(outcome, Outcome::Cut);
    let (answer, mut bytes, _) = strike(Fault::Flip { at: 70_000 });
    bytes[70_000] = !bytes[70_000];
    assert!(answer.body == bytes);
    let (answer, bytes, _) = strike(Fault::DeclareLength(300_100));
    assert_eq!(answer.broken.as_deref(), Some("300000 of 300100 bytes"));
    assert!(answer.body == bytes);
    let (answer, bytes, _) = strike(Fault::NoLength);
    assert_eq!((answer.header("content-length"), &answer.broken), (None, &None));
    assert!(answer.body == bytes);
    let (answer, bytes, _) = strike(Fault::Shorter(10));
    assert!(answer.body == bytes[..299_990] && answer.broken.is_none());
    let (answer, bytes, _) = strike(Fault::Longer(10));
    assert!(answer.body.len() == 300_010 && answer.body.starts_with(&bytes));
    let (answer, _, _) = strike(Fault::Body(b"other".to_vec()));
    assert_eq!(answer.body, b"other");
}

#[test]
fn statuses_redirects_and_headers() {
    let served = served();
    served.registry.rule(Rule::new(Target::AnyBlob, Fault::retry_after(429, "7")).times(2));
    for _ in 0..2 {
        let answer = served.get();
        assert_eq!((answer.status, answer.header("retry-after")), (429, Some("7")));
        assert!(String::from_utf8(answer.body).unwrap().contains("TOOMANYREQUESTS"));
    }
    assert_eq!(served.get().status, 200);
    served.registry.fault(Target::AnyManifest, Fault::status(500));
    assert_eq!(get(served.registry.address(), "/v2/a/manifests/b", &[]).unwrap().status, 500);
    let rule = served.registry.fault(served.blob(), Fault::Redirect { to: "http://127.0.0.2:1".to_owned() });
    let answer = served.get();
    let location = format!("http://127.0.0.2:1{}", served.path());
    assert_eq!((answer.status, answer.header("location")), (307, Some(location.as_str())));
    rule.lift();
    served.registry.fault(served.blob(), Fault::Header("X-More".to_owned(), "yes".to_owned()));
    assert_eq!(served.get().header("x-more"), Some("yes"));
    served.registry.rule(Rule::new(Target::Ping, Fault::HangUp).skip(1).method("GET"));
    assert_eq!(get(served.registry.address(), "/v2/", &[]).unwrap().status, 200);
    assert!(get(served.registry.address(), "/v2/", &[]).is_err());
    served.registry.heal();
    assert_eq!(get(served.registry.address(), "/v2/", &[]).unwrap().status, 200);
}

#[test]
fn a_stalled_answer_goes_on_when_released() {
    let served = served();
    let gate = Gate::new();
    served.registry.fault(served.blob(), Fault::Stall { after: 1000, gate: gate.clone() });
    std::thread::scope(|scope| {
        let answers = [scope.spawn(|| served.get()), scope.spawn(|| served.get())];
        gate.wait_for(2).unwrap();
        served.registry.wait_for(2, |request| request.sent == 1000).unwrap();
        assert!(answers.iter().all(|answer| !answer.is_finished()));
        gate.open();
        for answer in answers {
            assert!(answer.join().unwrap().body == served.bytes);
        }
    });
}

#[test]
fn a_client_that_leaves_a_stalled_answer_is_seen() {
    let served = served();
    let gate = Gate::new();
    served.registry.fault(served.blob(), Fault::Stall { after: 10, gate: gate.clone() });
    let mut stream = TcpStream::connect(served.registry.address()).unwrap();
    write!(stream, "GET {} HTTP/1.1\r\n\r\n", served.path()).unwrap();
    gate.wait_for(1).unwrap();
    drop(stream);
    served.registry.wait_for(1, |request| request.outcome == Outcome::Left).unwrap();
    assert_eq!(served.registry.requests()[0].sent, 10);
}

#[test]
fn a_gate_collects_requests_and_lets_them_go_one_by_one() {
    let served = served();
    let gate = Gate::new();
    served.registry.fault(Target::Any, Fault::Hold(gate.clone()));
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| assert_eq!(served.get().status, 200));
        }
        gate.wait_for(3).unwrap();
        assert_eq!(served.registry.count(|request| request.outcome == Outcome::Open), 3);
        gate.admit(1);
        served.registry.wait_for(1, |request| request.outcome == Outcome::Complete).unwrap();
        assert_eq!(served.registry.count(|request| request.outcome == Outcome::Open), 2);
        gate.open();
    });
    assert_eq!(peak(&served.registry.requests()), 3);
}

#[test]
fn an_endless_body_ends_with_its_reader() {
    let served = served();
    served.registry.fault(served.blob(), Fault::Endless);
    let mut stream = TcpStream::connect(served.registry.address()).unwrap();
    write!(stream, "GET {} HTTP/1.1\r\n\r\n", served.path()).unwrap();
    let mut bytes = vec![0; 2_000_000];
    stream.read_exact(&mut bytes).unwrap();
    drop(stream);
    served.registry.wait_for(1, |request| request.outcome == Outcome::Left).unwrap();
    assert!(served.registry.requests()[0].sent >= 1_900_000);
}

#[test]
fn a_throttled_answer_takes_its_time() {
    let served = served();
    served.registry.fault(served.blob(), Fault::Throttle { bytes_per_second: 1_000_000 });
    served.registry.fault(served.blob(), Fault::Latency(Duration::from_millis(40)));
    let begun = Instant::now();
    assert!(served.get().body == served.bytes);
    assert!(begun.elapsed() >= Duration::from_millis(330), "{:?}", begun.elapsed());
}

#[test]
fn a_registry_that_ends_breaks_what_it_sends() {
    let served = served();
    let gate = Gate::new();
    served.registry.fault(served.blob(), Fault::Stall { after: 10, gate: gate.clone() });
    let (address, path) = (served.registry.address(), served.path());
    let client = std::thread::spawn(move || get(address, &path, &[]));
    gate.wait_for(1).unwrap();
    drop(served);
    assert!(client.join().unwrap().unwrap().broken.is_some());
    assert!(TcpStream::connect(address).is_err(), "nobody listens any more");
}

#[test]
fn tags_come_in_pages() {
    let served = served();
    for tag in ["c", "a", "b"] {
        served.registry.put_tag("some/repo", tag, &served.digest);
    }
    served.registry.set_tag_page(2);
    let page = |path: &str| {
        let answer = get(served.registry.address(), path, &[]).unwrap();
        let body: Value = serde_json::from_slice(&answer.body).unwrap();
        (body["tags"].to_string(), answer.header("link").map(str::to_owned))
    };
    let (tags, link) = page("/v2/some/repo/tags/list");
    assert_eq!(tags, r#"["a","b"]"#);
    let link = link.unwrap();
    assert_eq!(link, r#"</v2/some/repo/tags/list?last=b&n=2>; rel="next""#);
    assert_eq!(page(link.trim_start_matches('<').split('>').next().unwrap()), (r#"["c"]"#.to_owned(), None));
}

fn basic(user: &str, password: &str) -> String {
    let text = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
    format!("Basic {text}")
}

#[test]
fn basic_authentication() {
    let served = served();
    served.registry.set_auth(Auth::Basic { user: "u".to_owned(), password: "p".to_owned() });
    let rule = served.registry.fault(Target::Any, Fault::Header("X-Rule".to_owned(), "1".to_owned()));
    let answer = served.get();
    assert_eq!((answer.status, answer.header("www-authenticate")), (401, Some("Basic realm=\"testkit\"")));
    assert_eq!((rule.struck(), served.registry.blob_gets(&served.digest)), (0, 0));
    for (password, status) in [("p", 200), ("q", 401)] {
        let headers = [("Authorization", &*basic("u", password))];
        assert_eq!(get(served.registry.address(), &served.path(), &headers).unwrap().status, status);
    }
    assert!(!served.registry.requests()[0].authorized() && served.registry.requests()[1].authorized());
}

#[test]
fn tokens_are_given_counted_and_end() {
    let served = served();
    let with_token = |token: &str| {
        let headers = [("Authorization", &*format!("Bearer {token}"))];
        get(served.registry.address(), &served.path(), &headers).unwrap()
    };
    let ask = |query: &str, headers: &[(&str, &str)]| {
        let answer = get(served.registry.address(), &format!("/token?service=testkit&scope={query}"), headers).unwrap();
        let body: Value = serde_json::from_slice(&answer.body).unwrap();
        (answer.status, body["token"].as_str().unwrap_or_default().to_owned())
    };
    let scope = "repository:some/repo:pull";
    let lifetime = Lifetime::Requests(2);
    served.registry.set_auth(Auth::Token(TokenAuth { lifetime, ..TokenAuth::anonymous() }));
    let challenge = served.get().header("www-authenticate").unwrap().to_owned();
    let realm = format!("Bearer realm=\"{}/token\",service=\"testkit\"", served.registry.url());
    assert_eq!(challenge, format!("{realm},scope=\"{scope}\""));
    let (_, token) = ask("repository%3Asome%2Frepo%3Apull", &[]);
    assert_eq!([with_token(&token).status, with_token(&token).status, with_token(&token).status], [200, 200, 401]);
    let (_, other) = ask("repository:other:pull", &[]);
    assert!(with_token(&other).header("www-authenticate").unwrap().ends_with("error=\"insufficient_scope\""));
    served.registry.set_auth(Auth::Token(TokenAuth::account("u", "p")));
    let (status, unknown) = ask(scope, &[]);
    assert_eq!((status, with_token(&unknown).status), (200, 401));
    assert_eq!(ask(scope, &[("Authorization", &basic("u", "wrong"))]).0, 401);
    let (status, token) = ask(scope, &[("Authorization", &basic("u", "p"))]);
    assert_eq!((status, with_token(&token).status), (200, 200));
    served.registry.revoke_tokens();
    assert_eq!(with_token(&token).status, 401);
    assert_eq!(with_token(&served.registry.issue_token("some/repo")).status, 200);
    assert_eq!(served.registry.tokens_issued(), 5);
}
