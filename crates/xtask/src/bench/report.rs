//! The results as tables in Markdown, and their ratios in a few lines.

use std::fmt::Write as _;

use super::meter::Usage;
use super::peers::{LAYERD, LAYERD_EROFS};
use super::results::{Growth, Results};
use super::stats::Spread;

const MEBIBYTE: f64 = 1048576.0;

/// All tables.
pub(crate) fn markdown(results: &Results) -> String {
    let mut text = format!("{}\n", results.circumstances());
    for (scenario, image) in results.measured() {
        pulls(&mut text, results, scenario, &image);
    }
    rests(&mut text, results);
    latencies(&mut text, results);
    growth(&mut text, results);
    if !results.failures.is_empty() {
        line(&mut text, "\n### What could not be measured\n");
        for failure in &results.failures {
            line(&mut text, &format!("- {failure}"));
        }
    }
    text
}

fn line(text: &mut String, words: &str) {
    text.push_str(words);
    text.push('\n');
}

fn pulls(text: &mut String, results: &Results, scenario: &str, image: &str) {
    line(text, &format!("\n### {scenario}: `{image}`, {}\n", results.described(image)));
    line(
        text,
        "| who | wall s | sync after s | CPU s | daemon's peak MiB | all processes' peak MiB | blobs fetched | on disk MB |",
    );
    line(text, "| --- | --- | --- | --- | --- | --- | --- | --- |");
    for peer in results.peers() {
        let spread = |pick: fn(&Usage) -> f64| results.spread(scenario, image, peer, pick);
        let Some(wall) = spread(|usage| usage.wall) else { continue };
        let last =
            results.runs.iter().rev().find(|run| run.scenario == scenario && run.image == image && &run.peer == peer);
        let fetched = last.map_or(0, |run| run.traffic.gets);
        let stored = last.map_or(0, |run| run.stored / 1_000_000);
        let daemon = spread(|usage| usage.daemon_peak.map_or(f64::NAN, |peak| peak as f64 / MEBIBYTE));
        line(
            text,
            &format!(
                "| {peer} | {} | {} | {} | {} | {} | {fetched} | {stored} |",
                cell(Some(wall), 2),
                cell(spread(|usage| usage.sync), 2),
                cell(spread(|usage| usage.cpu), 2),
                cell(daemon.filter(|spread| !spread.median.is_nan()), 0),
                cell(spread(|usage| usage.peak as f64 / MEBIBYTE), 0)
            ),
        );
    }
    if scenario.starts_with("cold") {
        if let Some(limit) = results.limit(image) {
            line(text, &format!("| *this machine's limit* | {:.2} | | {:.2} | | | | |", limit.wall, limit.cpu));
        }
        line(text, "\n| part alone | wall s | CPU s |\n| --- | --- | --- |");
        for (name, wall, cpu) in results.part_medians(image) {
            line(text, &format!("| {name} | {wall:.2} | {cpu:.2} |"));
        }
    }
}

/// A median with its ends, if they differ.
fn cell(spread: Option<Spread>, digits: usize) -> String {
    let Some(Spread { median, min, max }) = spread else { return "–".to_owned() };
    let number = |value: f64| format!("{value:.digits$}");
    if number(min) == number(max) {
        number(median)
    } else {
        format!("{} ({}–{})", number(median), number(min), number(max))
    }
}

fn rests(text: &mut String, results: &Results) {
    if results.rests.is_empty() {
        return;
    }
    line(text, "\n### rest\n\n| who | images | start to first answer ms | idle MiB |\n| --- | --- | --- | --- |");
    for rest in &results.rests {
        let mebibytes = Spread {
            median: rest.resident.median / MEBIBYTE,
            min: rest.resident.min / MEBIBYTE,
            max: rest.resident.max / MEBIBYTE,
        };
        let (start, idle) = (cell(Some(rest.start), 0), cell(Some(mebibytes), 1));
        line(text, &format!("| {} | {} | {start} | {idle} |", rest.peer, rest.images));
    }
}

fn latencies(text: &mut String, results: &Results) {
    if results.latencies.is_empty() {
        return;
    }
    line(text, "\n| who | request | state | p50 ms | p99 ms | requests |\n| --- | --- | --- | --- | --- | --- |");
    for one in &results.latencies {
        let (peer, request, state) = (&one.peer, one.request, one.state);
        line(text, &format!("| {peer} | {request} | {state} | {:.2} | {:.2} | {} |", one.p50, one.p99, one.count));
    }
}

fn growth(text: &mut String, results: &Results) {
    if results.growth.is_empty() {
        return;
    }
    line(text, "\n### growth, layerd alone\n");
    line(
        text,
        "| what grows | who | to | wall s | wall ms for each more | CPU s | daemon's peak MiB | list p50 ms | remove p50 ms |",
    );
    line(text, "| --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    let mut before: Option<&Growth> = None;
    // One form's series beside the other's.
    let mut all: Vec<&Growth> = results.growth.iter().collect();
    all.chunk_by_mut(|one, next| one.series == next.series).for_each(|series| series.sort_by_key(|one| one.who));
    for one in all {
        // What each costs that the step before had not: what a pull of nothing takes is in neither.
        let more = before
            .filter(|before| (before.series, before.who) == (one.series, one.who) && before.amount < one.amount)
            .map(|before| (one.wall.median - before.wall.median) * 1e3 / (one.amount - before.amount) as f64);
        before = Some(one);
        let optional =
            |value: Option<f64>, digits: usize| value.map_or("–".to_owned(), |it| format!("{it:.digits$}"));
        let (list, remove) = (optional(one.list_p50, 2), optional(one.remove_p50, 2));
        let (wall, cpu, peak) = (cell(Some(one.wall), 3), cell(Some(one.cpu), 3), one.daemon_peak >> 20);
        let (series, who, amount, more) = (one.series, one.who, one.amount, optional(more, 3));
        line(text, &format!("| {series} | {who} | {amount} | {wall} | {more} | {cpu} | {peak} | {list} | {remove} |"));
    }
}

/// What a run says in a few lines: layerd beside the best of the others, and beside the machine's limit.
pub(crate) fn ratios(results: &Results) -> String {
    let mut text = String::from("layerd's sync is in its times, and in nobody else's.\n");
    let measured = results.measured();
    for (scenario, image, who) in measured
        .into_iter()
        .flat_map(|(scenario, image)| [LAYERD, LAYERD_EROFS].map(|who| (scenario, image.clone(), who)))
    {
        let own = |pick: fn(&Usage) -> f64| results.spread(scenario, &image, who, pick).map(|spread| spread.median);
        let (Some(wall), Some(cpu)) = (own(|usage| usage.wall), own(|usage| usage.cpu)) else { continue };
        let _ = write!(text, "{scenario} `{image}`, {who}: {wall:.2} s, {cpu:.2} CPU s");
        if let Some(limit) = results.limit(&image).filter(|_| scenario.starts_with("cold")) {
            let _ = write!(
                text,
                "; {:.2} × this machine's limit of {:.2} s, {:.2} × its CPU time",
                wall / limit.wall,
                limit.wall,
                cpu / limit.cpu
            );
        }
        for (which, folders) in [("", true), ("of those that make files, ", false)] {
            if let Some((peer, other)) = best(results, scenario, &image, folders, |usage| usage.wall) {
                let _ = write!(text, "; {which}{:.2} of the wall time of {peer}", wall / other);
            }
            if let Some((peer, other)) = best(results, scenario, &image, folders, |usage| usage.cpu) {
                let _ = write!(text, ", {:.2} of the CPU time of {peer}", cpu / other);
            }
        }
        if scenario == "warm" {
            let trip = super::line::ROUND_TRIP.as_secs_f64();
            let trips = (wall / trip).floor();
            let _ = write!(text, "; {trips} round trips and {:.1} ms", (wall - trips * trip) * 1e3);
        }
        text.push('\n');
    }
    let whole = results.spread("update", "many-updated", LAYERD, |usage| usage.wall);
    let alone = results.spread("update", "updated-alone", LAYERD, |usage| usage.wall);
    if let (Some(whole), Some(alone)) = (whole, alone) {
        let _ =
            writeln!(text, "an update costs {:.2} × the pull of its changed layer alone", whole.median / alone.median);
    }
    text
}

/// The other one that needs the least, of those that unpack: into folders, or into files.
fn best(
    results: &Results,
    scenario: &str,
    image: &str,
    folders: bool,
    pick: fn(&Usage) -> f64,
) -> Option<(String, f64)> {
    let is_other = |peer: &&String| ![LAYERD, LAYERD_EROFS].contains(&peer.as_str());
    let others = results.peers().iter().filter(|peer| is_other(peer) && results.unpacks(peer, folders));
    let medians = others.filter_map(|peer| Some((peer.clone(), results.spread(scenario, image, peer, pick)?.median)));
    medians.min_by(|one, other| one.1.total_cmp(&other.1))
}
