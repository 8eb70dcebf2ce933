//! Exchanges with a dockerd that keeps its images in containerd's store, asked again of layerd.
//!
//! What dockerd answered was recorded and reduced to facts: statuses, headers, members and their types, the words of progress and their order, and
//! the messages that programs look for. Here the same is asked, of a daemon on a store that begins empty, with registries inside the test in
//! the place of the real ones. Where layerd differs on purpose, the case says why and what it answers, and `docs/api.md` lists it.

mod archive;
mod case;
mod compare;
mod images;
mod names;
mod shape;
mod stream;
mod world;

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use case::{Body, Case};
use compare::Comparison;
use layer_testkit::layer::LayerBuilder;
use names::Names;
use world::World;

use crate::daemon::Daemon;
use crate::http::{Answer, Stream};

/// Asks what a case asks.
async fn ask(daemon: &Daemon, names: &Names, case: &Case, earlier: &HashMap<String, Answer>) -> Stream {
    let ask = names.fill(&case.ask);
    let (method, target) = ask.split_once(' ').unwrap();
    let body = match &case.body {
        None => Vec::new(),
        Some(Body::Json(json)) => names.fill_all(json).to_string().into_bytes(),
        Some(Body::Text(text)) => text.clone().into_bytes(),
        Some(Body::Tar) => LayerBuilder::new().file("hello", "from an archive").tar(),
        Some(Body::AnswerTo(name)) => earlier[name].body.to_vec(),
    };
    let headers: Vec<(&str, String)> = case.headers.iter().map(|(key, value)| (&**key, names.fill(value))).collect();
    let headers: Vec<(&str, &str)> = headers.iter().map(|(key, value)| (*key, &**value)).collect();
    daemon.stream_with(method, target, &headers, body).await
}

/// Compares an answer with what a case says. One that layerd does not give yet must not be there; the case is to say so no longer then.
fn judge(comparison: &mut Comparison<'_>, case: &Case, answer: &Answer) -> Result<(), String> {
    let met = comparison.met.clone();
    let dockerd = comparison.compare(case.dockerd.as_ref().expect("a case has an answer of dockerd's"), answer);
    let expected = match &case.layerd {
        None => dockerd,
        Some(_) if dockerd.is_ok() => return Err("it is answered as dockerd does, and said to differ".to_owned()),
        Some(layerd) => {
            comparison.met.clone_from(&met);
            comparison.compare(layerd, answer)
        }
    };
    if !case.pending && case.todo.is_none() {
        return expected;
    }
    comparison.met = met;
    expected.map_or(Ok(()), |()| Err("it is answered as it should be by now".to_owned()))
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

#[tokio::test]
#[cfg_attr(
    not(target_arch = "x86_64"),
    ignore = "they were recorded on such a machine, whose platform is pulled unless told otherwise"
)]
async fn recorded_exchanges_are_answered_as_dockerd_did_or_as_the_document_says() {
    let (common, cases) = (case::common(), case::cases());
    let mut world = World::new();
    world.names.add("start", now().to_string());
    let daemon = world.start();
    let mut earlier: HashMap<String, Answer> = HashMap::new();
    let mut met = std::collections::BTreeSet::new();
    let mut wrong = Vec::new();
    let mut begun: Option<Stream> = None;
    let replayed: Vec<&Case> = cases.iter().filter(|case| case.not_replayed.is_none()).collect();
    for (number, case) in replayed.iter().enumerate() {
        for before in &case.before {
            let before = world.names.fill(before);
            let (method, target) = before.split_once(' ').unwrap();
            let answer = daemon.ask(method, target).await;
            assert!(answer.status < 300, "{before}: {}", answer.text());
        }
        if case.after_a_hang_up {
            world.hang_up(&daemon).await;
        }
        world.names.add("now", (now() + 1).to_string());
        let stream = match begun.take() {
            Some(stream) => stream,
            None => ask(&daemon, &world.names, case, &earlier).await,
        };
        if case.with_the_next {
            begun = Some(ask(&daemon, &world.names, replayed[number + 1], &earlier).await);
            world.gate.open();
        }
        let answer = stream.whole().await;
        let mut comparison = Comparison::new(&world.names, &common);
        if let Err(error) = judge(&mut comparison, case, &answer) {
            wrong.push(format!("{}: {error}", case.name));
        }
        met.extend(comparison.met);
        earlier.insert(case.name.clone(), answer);
    }
    let unmet = common.everywhere.keys().filter(|name| !met.contains(*name));
    wrong.extend(unmet.map(|name| format!("`{name}` is said to differ everywhere, and does nowhere")));
    tell(&cases);
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), replayed.len(), wrong.join("\n"));
}

/// Prints what was done with the cases.
#[expect(clippy::print_stdout, reason = "it is part of what the test shows")]
fn tell(cases: &[Case]) {
    let count = |such: fn(&Case) -> bool| cases.iter().filter(|case| such(case)).count();
    println!(
        "{} cases: {} replayed, of which {} differ on purpose, {} are pending and {} to be mended; {} not replayed:",
        cases.len(),
        count(|case| case.not_replayed.is_none()),
        count(|case| case.differs.is_some()),
        count(|case| case.pending),
        count(|case| case.todo.is_some()),
        count(|case| case.not_replayed.is_some()),
    );
    for case in cases {
        if let Some(reason) = &case.not_replayed {
            println!("  {}: {reason}", case.name);
        }
    }
}

#[test]
fn the_document_lists_what_differs() {
    let (common, cases) = (case::common(), case::cases());
    let document = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/api.md")).unwrap();
    let (_, section) = document.split_once("\n## Replayed exchanges that differ\n").expect("a section on what differs");
    let section = section.split_once("\n## ").map_or(section, |(section, _)| section);
    let listed: Vec<&str> = section.lines().filter(|line| line.starts_with('|')).skip(2).collect();
    let everywhere = common.everywhere.iter().map(|(name, differs)| (format!("everywhere: {name}"), differs));
    let single = cases.iter().filter_map(|case| Some((case.name.clone(), case.differs.as_ref()?)));
    let rows: Vec<String> = everywhere
        .chain(single)
        .map(|(name, differs)| format!("| {name} | {} | {} | {} |", differs.dockerd, differs.layerd, differs.why))
        .collect();
    assert_eq!(listed, rows, "it should be:\n{}", rows.join("\n"));
}

#[test]
fn cases_are_whole() {
    let cases = case::cases();
    let mut names = std::collections::HashSet::new();
    for case in &cases {
        assert!(names.insert(&case.name), "`{}` is there twice", case.name);
        assert_eq!(case.dockerd.is_some(), case.not_replayed.is_none(), "{}", case.name);
        assert_eq!(case.differs.is_some(), case.layerd.is_some(), "{}", case.name);
    }
}
