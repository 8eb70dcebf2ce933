//! What a daemon takes that has many images and nothing to do, and how fast it answers then and while it unpacks.

use std::path::Path;

use anyhow::{Context as _, Result};
use layer_testkit::debian_images::host_platform;
use layer_testkit::image::{Image, ImageBuilder};
use layer_testkit::layer::LayerBuilder;

use super::api;
use super::process::Running;
use super::results::{Latency, Rest, Results};
use super::scenario::{Bench, Session};
use super::served::Served;
use super::stats::{Spread, quantile};

/// How many requests of each kind are made of a daemon at rest.
const REQUESTS: usize = 500;
/// How many clients bring the images in at the same time.
const CLIENTS: usize = 4;

pub(crate) fn run(bench: &mut Bench, results: &mut Results) -> Result<()> {
    let count = if bench.options.quick { 50 } else { 200 };
    let busy = bench.corpus.image("many")?;
    results.image(&busy);
    let (mut served, names) = bench.serve(std::slice::from_ref(&busy))?;
    let small = put_small(&mut served, count)?;
    for index in 0..bench.peers.len() {
        let (peer, socket) = (bench.peers[index].name(), bench.peers[index].api());
        if bench.peers[index].daemon()?.is_none() || bench.peers[index].lines_only() {
            continue;
        }
        let rounds = bench.options.rounds;
        let measured = bench.session(index, |session| {
            fill(session, &small)?;
            let rest = at_rest(session, small.len(), rounds)?;
            let mut latencies = Vec::new();
            if let Some(socket) = &socket {
                latencies.extend(requests(session, socket, &small)?);
                latencies.extend(while_busy(session, socket, &small, &names)?);
            }
            Ok((rest, latencies))
        });
        match measured {
            Ok((rest, latencies)) => {
                println!("{peer:<20} start {:.1} ms, {:.1} MiB", rest.start.median, rest.resident.median / 1048576.0);
                for one in &latencies {
                    println!(
                        "{peer:<20} {:<8} {:<10} p50 {:8.3} ms, p99 {:8.3} ms",
                        one.request, one.state, one.p50, one.p99
                    );
                }
                results.rests.push(rest);
                results.latencies.extend(latencies);
            }
            Err(error) if index == 0 => return Err(error),
            Err(error) => results.failures.push(format!("rest, {peer}: {error:#}")),
        }
    }
    Ok(())
}

/// An image of one file, which no other has.
pub(crate) fn small_image(number: usize) -> Image {
    let layer = LayerBuilder::new().file("number", number.to_string()).gzip();
    ImageBuilder::new().platform(&host_platform()).layer(layer).cmd(&["sh"]).build()
}

/// Puts so many small images into the registry.
pub(crate) fn put_small(served: &mut Served, count: usize) -> Result<Vec<String>> {
    (0..count).map(|number| served.put(&format!("small-{number}"), || Ok(small_image(number)))).collect()
}

/// Brings images in, without measuring it.
pub(crate) fn fill(session: &Session<'_>, images: &[String]) -> Result<()> {
    images.chunks(CLIENTS).try_for_each(|some| session.pull(some).map(|_| ()))
}

fn at_rest(session: &mut Session<'_>, images: usize, rounds: usize) -> Result<Rest> {
    let (mut starts, mut resident) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        starts.push(session.restart()?);
        let daemon = session.daemon.as_ref().map(Running::pid).context("the daemon runs")?;
        resident.push(session.account.resident(daemon) as f64);
    }
    let spread = |values: Vec<f64>| Spread::of(values).context("a round was made");
    Ok(Rest { peer: session.peer.name().to_owned(), images, start: spread(starts)?, resident: spread(resident)? })
}

/// The requests whose answers are awaited, with their paths.
fn kinds(images: &[String]) -> [(&'static str, String); 3] {
    let inspect = format!("/images/{}/json", images.last().map_or("none", String::as_str));
    [("ping", "/_ping".to_owned()), ("list", "/images/json".to_owned()), ("inspect", inspect)]
}

fn requests(session: &Session<'_>, socket: &Path, images: &[String]) -> Result<Vec<Latency>> {
    let mut all = Vec::new();
    for (request, path) in kinds(images) {
        // The first ones fill caches, here and there.
        for _ in 0..5 {
            api::get(socket, &path)?;
        }
        let begun = std::time::Instant::now();
        let mut times = Vec::new();
        // Of one that takes seconds for a list, a few are enough.
        while times.len() < REQUESTS && (times.len() < 10 || begun.elapsed().as_secs() < 5) {
            times.push(api::get(socket, &path)?);
        }
        all.push(latency(session, request, "at rest", times));
    }
    Ok(all)
}

/// The same requests in turn, for as long as a pull unpacks its layers.
fn while_busy(session: &mut Session<'_>, socket: &Path, images: &[String], pulled: &[String]) -> Result<Vec<Latency>> {
    let kinds = kinds(images);
    let mut times = [const { Vec::new() }; 3];
    let image = pulled.first().context("an image is pulled")?;
    let mut pull = session.account.start(&session.peer.pull(image), "busy")?;
    while pull.runs()? {
        for ((_, path), times) in kinds.iter().zip(&mut times) {
            times.push(api::get(socket, path)?);
        }
    }
    let pairs = kinds.iter().zip(times);
    Ok(pairs.map(|((request, _), times)| latency(session, request, "in a pull", times)).collect())
}

fn latency(session: &Session<'_>, request: &'static str, state: &'static str, mut times: Vec<f64>) -> Latency {
    times.sort_by(f64::total_cmp);
    let (p50, p99) = (quantile(&times, 500), quantile(&times, 990));
    Latency { peer: session.peer.name().to_owned(), request, state, count: times.len(), p50, p99 }
}

/// The median of a list of all images, in milliseconds.
pub(crate) fn list_p50(socket: &Path) -> Result<f64> {
    median((0..100).map(|_| api::get(socket, "/images/json")))
}

/// The median of the removals of these images, in milliseconds.
pub(crate) fn remove_p50(socket: &Path, images: &[String]) -> Result<f64> {
    median(images.iter().map(|image| api::remove(socket, image)))
}

fn median(times: impl Iterator<Item = Result<f64>>) -> Result<f64> {
    let times = times.collect::<Result<Vec<_>>>()?;
    Ok(Spread::of(times).context("a request was made")?.median)
}
