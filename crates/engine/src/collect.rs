//! Removing what nobody has used for long, or longest: the collection that keeps the store within its bounds.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use layer_digest::{Digest, ImageId};
use layer_store::DiskRoom;

use crate::engine::Shared;
use crate::lookup::Found;
use crate::names::{is_used, remove_unused};
use crate::prune::{names, one_at_a_time};
use crate::usage::Shares;
use crate::{Engine, EngineError};

/// What a collection may take, and when it has taken enough. Images that are mounted, pinned or part of a pull that runs always stay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collection {
    /// Whether images with names may go, too; else only those that lost their last name to another image.
    pub all: bool,
    /// Images that nobody has used for so long go, whatever room there is.
    pub unused_for: Option<Duration>,
    /// As long as the store takes more bytes than this, the image goes that was not used for the longest time.
    pub keep_storage: Option<u64>,
    /// The same by how full the file system is.
    pub marks: Option<Marks>,
    /// What pulls have left behind goes when nothing was written to it for so long.
    pub leftovers_for: Duration,
    /// Whether only to tell what would go.
    pub dry_run: bool,
}

/// How full a file system may be, in percent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marks {
    /// Above this, images go.
    pub high: u8,
    /// Until it is no fuller than this.
    pub low: u8,
}

/// What a collection has taken, or would take.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// The images, in the order in which they were chosen.
    pub images: Vec<Evicted>,
    /// How many blobs and layers that no image consists of.
    pub leftovers: usize,
    /// How many partial downloads.
    pub partials: usize,
    /// The bytes on the disk, all in all.
    pub bytes: u64,
}

/// An image that a collection has taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evicted {
    /// The image.
    pub id: ImageId,
    /// The names it had, in docker's short form. For one that had none, its ID.
    pub names: Vec<String>,
    /// When it was last used.
    pub last_used: Option<Timestamp>,
    /// The bytes that its going freed, those before it being gone.
    pub bytes: u64,
}

impl Marks {
    /// How many bytes must go.
    fn excess(self, room: DiskRoom) -> u64 {
        let used = room.total.saturating_sub(room.free);
        let at = |percent: u8| room.total / 100 * u64::from(percent);
        if used > at(self.high) { used.saturating_sub(at(self.low)) } else { 0 }
    }
}

impl Engine {
    /// Runs a collection that somebody asks for.
    ///
    /// # Errors
    ///
    /// When a prune runs, an image that stays can't be read, so that what it needs is not known, or the disk fails.
    pub async fn collect(&self, collection: Collection) -> Result<Collected, EngineError> {
        self.blocking(move |shared| {
            let _one = one_at_a_time(shared)?;
            collect(shared, &collection, Timestamp::now())
        })
        .await
    }

    /// Runs a collection that nobody has asked for. It may run beside a prune: nobody is to be told that he can't prune for its sake.
    ///
    /// # Errors
    ///
    /// When an image that stays can't be read, so that what it needs is not known, or the disk fails.
    pub async fn tidy(&self, collection: Collection) -> Result<Collected, EngineError> {
        self.blocking(move |shared| collect(shared, &collection, Timestamp::now())).await
    }
}

/// An image that may go.
struct Candidate<'a> {
    found: &'a Found,
    parts: &'a [usize],
    last_used: Option<Timestamp>,
}

fn collect(shared: &Shared, collection: &Collection, now: Timestamp) -> Result<Collected, EngineError> {
    let store = &shared.store;
    let before = ago(now, collection.leftovers_for);
    // What nobody needs goes before what somebody may want.
    let leftovers = if collection.dry_run {
        store.leftovers(before)?
    } else {
        let (swept, rubbish) = store.sweep_leftovers(before)?;
        drop(rubbish);
        swept
    };
    let shares = Shares::find(store)?;
    let mut total = shares.holdings.bytes();
    let mut room = store.disk_room()?;
    if collection.dry_run {
        total = total.saturating_sub(leftovers.bytes);
        room.free = room.free.saturating_add(leftovers.bytes);
    }
    let over = collection.keep_storage.map_or(0, |keep| total.saturating_sub(keep));
    let goal = over.max(collection.marks.map_or(0, |marks| marks.excess(room)));
    let may_go = |found: &Found| (collection.all || found.names.is_empty()) && !is_used(shared, found);
    let candidates = shares.images.iter().filter(|(found, _)| may_go(found)).map(|(found, parts)| {
        let last_used = store.last_used(found.id());
        Candidate { found, parts, last_used }
    });
    let sizes = shares.things.iter().map(|thing| (thing.held.bytes, thing.users)).collect();
    let too_old = collection.unused_for.map(|unused| ago(now, unused));
    let chosen = choose(candidates.collect(), sizes, goal, too_old);
    let mut images: Vec<Evicted> = chosen
        .iter()
        .map(|(candidate, bytes)| Evicted {
            id: candidate.found.id(),
            names: names(candidate.found).collect(),
            last_used: candidate.last_used,
            bytes: *bytes,
        })
        .collect();
    let mut bytes = images.iter().map(|image| image.bytes).fold(leftovers.bytes, u64::saturating_add);
    if !collection.dry_run && !images.is_empty() {
        let last_uses: HashMap<ImageId, _> = images.iter().map(|image| (image.id, image.last_used)).collect();
        // Whoever used one meanwhile keeps it.
        let (gone, swept) = remove_unused(shared, |found| {
            may_go(found) && last_uses.get(&found.id()).is_some_and(|used| *used == store.last_used(found.id()))
        })?;
        let gone: HashSet<Digest> = gone.iter().map(|found| found.target.digest).collect();
        images.retain(|image| gone.contains(&image.id.0));
        bytes = leftovers.bytes.saturating_add(swept.bytes);
    }
    for image in &images {
        let (id, names, last_used) = (image.id, image.names.join(" "), image.last_used.map(|at| at.to_string()));
        tracing::info!(image = %id, names, last_used, bytes = image.bytes, dry_run = collection.dry_run, "evicted");
    }
    Ok(Collected { images, leftovers: leftovers.blobs + leftovers.layers, partials: leftovers.partials, bytes })
}

/// The images that go, with the bytes that each frees: all that were not used since `too_old`, and then, until `goal` bytes are free, whichever
/// was not used for the longest time. Images without a name go before all others. `things` are sizes, and how many images consist of each.
fn choose(
    mut candidates: Vec<Candidate<'_>>,
    mut things: Vec<(u64, u32)>,
    goal: u64,
    too_old: Option<Timestamp>,
) -> Vec<(Candidate<'_>, u64)> {
    candidates.sort_by_key(|candidate| {
        let has_name = !candidate.found.names.is_empty();
        (has_name, candidate.last_used, candidate.found.target.digest)
    });
    let is_too_old = |candidate: &Candidate<'_>| {
        too_old.is_some_and(|too_old| candidate.last_used.is_none_or(|last_used| last_used < too_old))
    };
    let (old, rest): (Vec<_>, Vec<_>) = candidates.into_iter().partition(is_too_old);
    let always = old.len();
    let mut freed = 0u64;
    let mut chosen = Vec::new();
    for (number, candidate) in old.into_iter().chain(rest).enumerate() {
        if number >= always && freed >= goal {
            break;
        }
        let mut bytes = 0u64;
        for part in candidate.parts {
            let (size, users) = &mut things[*part];
            *users = users.saturating_sub(1);
            if *users == 0 {
                bytes = bytes.saturating_add(*size);
            }
        }
        freed = freed.saturating_add(bytes);
        chosen.push((candidate, bytes));
    }
    chosen
}

/// The moment so long before `now`. A span that is longer than all calendars reaches back to their beginning.
fn ago(now: Timestamp, span: Duration) -> Timestamp {
    SignedDuration::try_from(span).ok().and_then(|span| now.checked_sub(span).ok()).unwrap_or(Timestamp::MIN)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use layer_oci::Descriptor;
    use layer_reference::Reference;
    use layer_store::Named;

    use super::*;

    fn image(name: Option<&str>, seed: &str) -> Found {
        let target = Descriptor::new("x/y", Digest::sha256(seed.as_bytes()), 1);
        let tagged = Timestamp::UNIX_EPOCH;
        let named =
            |name| Named { reference: Reference::parse(name).unwrap(), target: target.clone(), tagged, pinned: None };
        let names = name.map(named).map(Arc::new).into_iter().collect();
        Found { target, names, pinned: false, since: None, by: None }
    }

    fn at(second: i64) -> Option<Timestamp> {
        Some(Timestamp::from_second(second).unwrap())
    }

    /// The numbers of the images that go, and what each frees.
    fn chosen(goal: u64, too_old: Option<Timestamp>) -> Vec<(String, u64)> {
        // 0 and 1 share the base, 2 is alone, 3 has no name.
        let images = [image(Some("n:0"), "0"), image(Some("n:1"), "1"), image(Some("n:2"), "2"), image(None, "3")];
        let parts: [&[usize]; 4] = [&[0, 1], &[0, 2], &[3], &[4]];
        let uses = [30, 10, 20, 40].map(at);
        let things = vec![(1000, 2), (10, 1), (20, 1), (300, 1), (4, 1)];
        let candidates = images.iter().zip(parts).zip(uses);
        let candidates = candidates.map(|((found, parts), last_used)| Candidate { found, parts, last_used }).collect();
        let chosen = choose(candidates, things, goal, too_old);
        chosen
            .iter()
            .map(|(candidate, bytes)| {
                let name = candidate.found.names.first().map_or("none".to_owned(), |it| it.reference.familiar());
                (name, *bytes)
            })
            .collect()
    }

    #[test]
    fn what_was_not_used_for_the_longest_time_goes_first_and_what_has_no_name_before_all() {
        let want = |list: &[(&str, u64)]| list.iter().map(|(name, bytes)| ((*name).to_owned(), *bytes)).collect();
        let check = |goal, too_old, list: &[(&str, u64)]| {
            let want: Vec<(String, u64)> = want(list);
            assert_eq!(chosen(goal, too_old), want, "{goal} {too_old:?}");
        };
        check(0, None, &[]);
        check(1, None, &[("none", 4)]);
        // The base stays as long as one of the two needs it.
        check(5, None, &[("none", 4), ("n:1", 20)]);
        check(24, None, &[("none", 4), ("n:1", 20)]);
        check(25, None, &[("none", 4), ("n:1", 20), ("n:2", 300)]);
        check(u64::MAX, None, &[("none", 4), ("n:1", 20), ("n:2", 300), ("n:0", 1010)]);
        check(0, at(25), &[("n:1", 20), ("n:2", 300)]);
        check(322, at(25), &[("n:1", 20), ("n:2", 300), ("none", 4)]);
        check(0, at(10), &[]);
    }

    #[test]
    fn marks_are_a_way_down_from_one_to_the_other() {
        let marks = Marks { high: 80, low: 60 };
        let room = |free| DiskRoom { total: 1000, free };
        assert_eq!(marks.excess(room(1000)), 0);
        assert_eq!(marks.excess(room(200)), 0);
        assert_eq!(marks.excess(room(199)), 201);
        assert_eq!(marks.excess(room(0)), 400);
    }

    #[test]
    fn a_span_beyond_all_calendars_reaches_back_to_their_beginning() {
        let now = Timestamp::from_second(1_000_000).unwrap();
        assert_eq!(ago(now, Duration::from_secs(1000)), Timestamp::from_second(999_000).unwrap());
        assert_eq!(ago(now, Duration::MAX), Timestamp::MIN);
    }
}
