//! The pulls that run: who wants to know can list them, follow them and end them, whoever began them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use layer_digest::BlobId;
use layer_oci::Platform;
use layer_reference::Reference;
use tokio_util::sync::CancellationToken;

use crate::event::{self, Event, EventReceiver, Events, Phase};
use crate::{PullCause, PullError};

/// A pull that runs.
#[derive(Clone, Debug)]
pub struct RunningPull {
    /// What it is followed and cancelled by. A daemon gives each number once.
    pub id: u64,
    /// The image.
    pub reference: Reference,
    /// The platform that was asked for, if one was.
    pub platform: Option<Platform>,
    /// When it began.
    pub started: Timestamp,
    /// Its layers, base first, and how far each is; none until the name is resolved.
    pub layers: Vec<(BlobId, Phase)>,
}

/// Somebody who follows a pull that another one has begun. Dropping it changes nothing for the pull.
#[derive(Debug)]
pub struct Follow(EventReceiver);

impl Follow {
    /// The next thing that happens, beginning with how far the pull has come; `None` after its end. Safe to cancel.
    pub async fn next(&mut self) -> Option<Event> {
        self.0.next().await
    }
}

/// All pulls that run.
#[derive(Debug, Default)]
pub(crate) struct RunningPulls {
    pulls: Mutex<Numbered>,
}

#[derive(Debug, Default)]
struct Numbered {
    last: u64,
    by_id: BTreeMap<u64, Arc<Entry>>,
}

/// One pull that runs.
#[derive(Debug)]
struct Entry {
    reference: Reference,
    platform: Option<Platform>,
    started: Timestamp,
    cancel: CancellationToken,
    story: Arc<Story>,
}

/// What a pull has told so far, as far as it still matters, and who else is to hear the rest.
#[derive(Debug, Default)]
pub(crate) struct Story(Mutex<Told>);

#[derive(Debug, Default)]
struct Told {
    /// What was told about the whole: that the name is resolved, and warnings.
    steps: Vec<Event>,
    layers: Vec<(BlobId, Phase)>,
    /// The last event.
    end: Option<Event>,
    followers: Vec<Events>,
}

impl Story {
    /// Takes down an event, and hands it on. Followers who have gone are forgotten.
    pub(crate) fn note(&self, event: &Event) {
        let mut told = self.lock();
        match event {
            Event::Layer { blob, phase } => match told.layers.iter_mut().find(|(known, _)| known == blob) {
                Some((_, known)) => *known = phase.clone(),
                None => told.layers.push((*blob, phase.clone())),
            },
            // It says how long to wait, which is over by the time that somebody reads it.
            Event::Retrying { .. } => {}
            Event::Pulling(_) | Event::Warning(_) => told.steps.push(event.clone()),
            Event::Done(_) | Event::Failed(_) => told.end = Some(event.clone()),
        }
        told.followers.retain(|follower| follower.is_heard());
        told.followers.iter().for_each(|follower| follower.tell(event.clone()));
        if told.end.is_some() {
            // Nothing comes any more, which is what they hear when this is gone.
            told.followers.clear();
        }
    }

    fn has_ended(&self) -> bool {
        self.lock().end.is_some()
    }

    /// Another one who hears all that matters of what was told, and what comes.
    fn follow(&self) -> Follow {
        let (events, receiver) = event::channel();
        let mut told = self.lock();
        told.steps.iter().for_each(|step| events.tell(step.clone()));
        told.layers.iter().for_each(|(blob, phase)| events.layer(*blob, phase.clone()));
        match &told.end {
            Some(end) => events.tell(end.clone()),
            None => told.followers.push(events),
        }
        Follow(receiver)
    }

    fn lock(&self) -> MutexGuard<'_, Told> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The place of a pull in the list. It goes with this, and whoever follows a pull that goes without an end hears that it was cancelled.
#[derive(Debug)]
pub(crate) struct Place {
    pulls: Arc<RunningPulls>,
    id: u64,
    reference: Reference,
    cancel: CancellationToken,
    story: Arc<Story>,
}

impl Place {
    /// Waits until somebody ends the pull.
    pub(crate) async fn cancelled(&self) {
        self.cancel.cancelled().await;
    }

    /// Takes the pull off the list: whoever hears its end finds it there no more.
    pub(crate) fn leave(&self) {
        self.pulls.lock().by_id.remove(&self.id);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.leave();
        if !self.story.has_ended() {
            let error = PullError { reference: self.reference.clone(), cause: Box::new(PullCause::Cancelled) };
            self.story.note(&Event::Failed(Arc::new(error)));
        }
    }
}

impl RunningPulls {
    /// Lists a pull that begins.
    pub(crate) fn enter(self: &Arc<Self>, reference: &Reference, platform: Option<&Platform>) -> (Place, Arc<Story>) {
        let (cancel, story) = (CancellationToken::new(), Arc::new(Story::default()));
        let entry = Entry {
            reference: reference.clone(),
            platform: platform.cloned(),
            started: Timestamp::now(),
            cancel: cancel.clone(),
            story: Arc::clone(&story),
        };
        let mut pulls = self.lock();
        pulls.last += 1;
        let id = pulls.last;
        pulls.by_id.insert(id, Arc::new(entry));
        let place =
            Place { pulls: Arc::clone(self), id, reference: reference.clone(), cancel, story: Arc::clone(&story) };
        (place, story)
    }

    /// All, the oldest first.
    pub(crate) fn list(&self) -> Vec<RunningPull> {
        let all: Vec<_> = self.lock().by_id.iter().map(|(id, entry)| (*id, Arc::clone(entry))).collect();
        all.into_iter().map(|(id, entry)| entry.shown(id)).collect()
    }

    /// Follows a pull; `None` if it has ended, or there never was such a one.
    pub(crate) fn follow(&self, id: u64) -> Option<Follow> {
        let entry = Arc::clone(self.lock().by_id.get(&id)?);
        Some(entry.story.follow())
    }

    /// Ends a pull; `None` if it has ended, or there never was such a one.
    pub(crate) fn cancel(&self, id: u64) -> Option<RunningPull> {
        let entry = Arc::clone(self.lock().by_id.get(&id)?);
        entry.cancel.cancel();
        Some(entry.shown(id))
    }

    fn lock(&self) -> MutexGuard<'_, Numbered> {
        self.pulls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn shown(&self, id: u64) -> RunningPull {
        RunningPull {
            id,
            reference: self.reference.clone(),
            platform: self.platform.clone(),
            started: self.started,
            layers: self.story.lock().layers.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use layer_digest::Digest;

    use super::*;

    fn blob(text: &str) -> BlobId {
        BlobId(Digest::sha256(text.as_bytes()))
    }

    #[tokio::test]
    async fn who_comes_late_hears_how_far_it_is_and_then_the_rest() {
        let reference = Reference::parse("lab.test/app:1").unwrap();
        let pulls = Arc::new(RunningPulls::default());
        let (place, story) = pulls.enter(&reference, None);
        let (events, mut receiver) = event::channel();
        let events = events.with_story(story);
        events.tell(Event::Pulling(reference.clone()));
        events.layer(blob("a"), Phase::Queued);
        events.layer(blob("b"), Phase::Queued);
        events.layer(blob("a"), Phase::Complete);
        let [one] = pulls.list().try_into().unwrap();
        assert_eq!((one.id, one.layers.len()), (place.id, 2));
        let mut follow = pulls.follow(one.id).unwrap();
        events.layer(blob("b"), Phase::Fetching { done: 1, total: 2 });
        drop((events, place));
        let mut heard = Vec::new();
        while let Some(event) = follow.next().await {
            heard.push(match event {
                Event::Layer { blob: which, phase } => format!("{} {phase:?}", which == blob("a")),
                Event::Pulling(_) => "pulling".to_owned(),
                // Whoever began it has gone.
                Event::Failed(error) => error.cause.to_string(),
                other => panic!("{other:?}"),
            });
        }
        let cancelled = PullCause::Cancelled.to_string();
        assert_eq!(
            heard,
            ["pulling", "true Complete", "false Queued", "false Fetching { done: 1, total: 2 }", &*cancelled]
        );
        // The one who began it has heard it all as well, and nothing is listed any more.
        let mut count = 0;
        while receiver.next().await.is_some() {
            count += 1;
        }
        assert_eq!(count, 5);
        assert!(pulls.list().is_empty() && pulls.follow(one.id).is_none() && pulls.cancel(one.id).is_none());
    }

    #[tokio::test]
    async fn a_pull_hears_that_it_is_ended() {
        let reference = Reference::parse("lab.test/app:1").unwrap();
        let pulls = Arc::new(RunningPulls::default());
        let (place, _story) = pulls.enter(&reference, None);
        assert_eq!(pulls.cancel(place.id).unwrap().reference, reference);
        place.cancelled().await;
    }
}
