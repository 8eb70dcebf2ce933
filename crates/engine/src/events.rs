//! What happened to images, for whoever wants to follow it: a bounded history, and what comes next.
//!
//! The history is kept in the store's database, where it is cheap to lose. Whoever reads too slowly loses the oldest events, and holds up
//! nobody.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use layer_digest::ImageId;
use layer_reference::Reference;
use layer_store::Store;
use layer_transfer::Done;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::{Engine, lookup};

/// How many events are kept. A busy builder makes some thousand in an hour; docker keeps 256.
const KEPT: usize = 4096;

/// What happened to an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// It was pulled, or a pull found that it is up to date.
    Pull,
    /// It was pushed.
    Push,
    /// It got a name.
    Tag,
    /// It lost a name.
    Untag,
    /// It was removed.
    Delete,
    /// It was written to an archive.
    Save,
    /// It was read from an archive.
    Load,
    /// It was made from a tar of files.
    Import,
    /// Images that nobody uses were removed.
    Prune,
    /// It was mounted.
    Mount,
    /// A mount of it was taken down.
    Unmount,
}

impl Action {
    /// Docker's word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pull => "pull",
            Self::Push => "push",
            Self::Tag => "tag",
            Self::Untag => "untag",
            Self::Delete => "delete",
            Self::Save => "save",
            Self::Load => "load",
            Self::Import => "import",
            Self::Prune => "prune",
            Self::Mount => "mount",
            Self::Unmount => "unmount",
        }
    }
}

/// Something that happened to an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageEvent {
    /// What happened.
    pub action: Action,
    /// To what: the name in docker's short form for a pull or a push, else the image's ID. Empty for a prune.
    pub actor: String,
    /// More about it: the image's labels, and as `name` what it is known by.
    pub attributes: BTreeMap<String, String>,
    /// When.
    pub at: Timestamp,
}

/// The history, and those who wait for more of it.
#[derive(Debug)]
pub(crate) struct Journal {
    store: Arc<Store>,
    state: Mutex<State>,
    /// The number of the next event; closed when there will be none.
    changed: watch::Sender<Next>,
}

#[derive(Debug, Default)]
struct State {
    /// The number of the event that comes next. Numbers go on over restarts.
    next: u64,
    /// The latest events; the last one has the number before `next`.
    recent: VecDeque<Arc<ImageEvent>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Next {
    number: u64,
    is_closed: bool,
}

/// Reads events in their order. Dropping it leaves.
#[derive(Debug)]
pub struct EventReader {
    engine: Engine,
    at: u64,
    changed: watch::Receiver<Next>,
}

impl Journal {
    /// The history of an earlier process.
    pub(crate) fn load(store: Arc<Store>) -> Self {
        let mut state = State::default();
        for (number, bytes) in store.events() {
            state.next = number.saturating_add(1);
            // One of another version's is not worth more than a gap.
            if let Ok(event) = serde_json::from_slice(&bytes) {
                state.push(Arc::new(event));
            }
        }
        let changed = watch::Sender::new(Next { number: state.next, is_closed: false });
        Self { store, state: Mutex::new(state), changed }
    }

    /// Notes what happened to an image that is in the store. `name` is what it is known by there.
    pub(crate) fn note(&self, action: Action, image: ImageId, name: &str) {
        self.add(action, image.to_string(), name, self.labels(image));
    }

    /// Notes what happened to an image that may be gone, with the labels that it had.
    pub(crate) fn note_gone(&self, action: Action, image: ImageId, name: &str, labels: BTreeMap<String, String>) {
        self.add(action, image.to_string(), name, labels);
    }

    /// Notes that an image came from a registry, or went to one, under a name.
    fn note_transfer(&self, action: Action, image: ImageId, reference: &Reference) {
        self.add(action, reference.familiar(), &reference.repository().familiar(), self.labels(image));
    }

    /// Notes what a transfer has done.
    pub(crate) fn note_done(&self, done: Done<'_>) {
        match done {
            Done::Pulled(outcome) => self.note_transfer(Action::Pull, outcome.image, &outcome.reference),
            Done::Pushed(image, name) => self.note_transfer(Action::Push, image, name),
            Done::Loaded(image) => self.note(Action::Load, image, &image.to_string()),
            Done::Imported(image, name) => {
                if let Some(name) = name {
                    self.note(Action::Tag, image, &name.familiar());
                }
                self.note(Action::Import, image, &image.to_string());
            }
            _ => {}
        }
    }

    /// Notes that images nobody uses were removed, and how many bytes that freed.
    pub(crate) fn note_prune(&self, bytes: u64) {
        self.push(Action::Prune, String::new(), BTreeMap::from([("reclaimed".to_owned(), bytes.to_string())]));
    }

    /// The labels of an image, as far as they can be read: an event is told in any case.
    pub(crate) fn labels(&self, image: ImageId) -> BTreeMap<String, String> {
        let variant = lookup::find(&self.store, &image.to_string()).and_then(|found| found.variant(&self.store, None));
        variant.ok().and_then(|variant| variant.config.config.labels.clone()).unwrap_or_default()
    }

    /// Adds an event that happens now.
    fn add(&self, action: Action, actor: String, name: &str, mut attributes: BTreeMap<String, String>) {
        attributes.insert("name".to_owned(), name.to_owned());
        self.push(action, actor, attributes);
    }

    fn push(&self, action: Action, actor: String, attributes: BTreeMap<String, String>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let event = ImageEvent { action, actor, attributes, at: Timestamp::now() };
        let number = state.next;
        if let Ok(bytes) = serde_json::to_vec(&event) {
            self.store.keep_event(number, &bytes, KEPT as u64);
        }
        state.next = number.saturating_add(1);
        state.push(Arc::new(event));
        let next = state.next;
        drop(state);
        self.changed.send_modify(|changed| changed.number = changed.number.max(next));
    }

    /// Tells all readers that nothing more will come.
    pub(crate) fn close(&self) {
        self.changed.send_modify(|next| next.is_closed = true);
    }
}

impl State {
    fn push(&mut self, event: Arc<ImageEvent>) {
        if self.recent.len() == KEPT {
            self.recent.pop_front();
        }
        self.recent.push_back(event);
    }

    /// The number of the oldest event that is kept.
    fn first(&self) -> u64 {
        self.next - self.recent.len() as u64
    }

    /// The event of a number that is not before the first, unless it is still to come.
    fn get(&self, number: u64) -> Option<Arc<ImageEvent>> {
        let index = usize::try_from(number.checked_sub(self.first())?).ok()?;
        self.recent.get(index).cloned()
    }
}

impl Engine {
    /// Follows what happens to images: from the oldest event that is kept, or from now on.
    pub fn events(&self, with_history: bool) -> EventReader {
        let journal = &self.shared.journal;
        let changed = journal.changed.subscribe();
        let state = journal.state.lock().unwrap_or_else(PoisonError::into_inner);
        let at = if with_history { state.first() } else { state.next };
        EventReader { engine: self.clone(), at, changed }
    }

    /// Ends all that follow events, once they have read what there is.
    pub fn close_events(&self) {
        self.shared.journal.close();
    }
}

impl EventReader {
    /// The next event that is there already.
    pub fn ready(&mut self) -> Option<Arc<ImageEvent>> {
        let state = self.engine.shared.journal.state.lock().unwrap_or_else(PoisonError::into_inner);
        self.at = self.at.max(state.first());
        let event = state.get(self.at)?;
        self.at += 1;
        Some(event)
    }

    /// The next event, now or later; `None` when there will be none. Safe to cancel.
    pub async fn next(&mut self) -> Option<Arc<ImageEvent>> {
        loop {
            // Looked at before the history is, so that nothing that is added meanwhile is slept over.
            let is_closed = self.changed.borrow_and_update().is_closed;
            if let Some(event) = self.ready() {
                return Some(event);
            }
            if is_closed || self.changed.changed().await.is_err() {
                return None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_history_survives_and_stays_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(Store::open(folder.path()).unwrap());
        let first = Journal::load(Arc::clone(&store));
        for name in 0..KEPT + 10 {
            first.push(Action::Tag, name.to_string(), BTreeMap::new());
        }
        let kept = |journal: &Journal| {
            let state = journal.state.lock().unwrap();
            (state.first(), state.next, state.recent.front().unwrap().actor.clone(), state.recent.len())
        };
        let expected = (10, KEPT as u64 + 10, "10".to_owned(), KEPT);
        assert_eq!(kept(&first), expected);
        let second = Journal::load(Arc::clone(&store));
        assert_eq!(kept(&second), expected);
        assert_eq!(second.state.lock().unwrap().recent, first.state.lock().unwrap().recent);
        assert_eq!(store.events().len(), KEPT);
    }

    #[test]
    fn a_reader_that_fell_behind_goes_on_with_the_oldest_that_is_kept() {
        let mut state = State { next: 5, recent: VecDeque::new() };
        let event = |actor: &str| {
            let (attributes, at) = (BTreeMap::new(), Timestamp::UNIX_EPOCH);
            Arc::new(ImageEvent { action: Action::Pull, actor: actor.to_owned(), attributes, at })
        };
        state.push(event("4"));
        assert_eq!((state.first(), state.get(4).unwrap().actor.as_str()), (4, "4"));
        assert_eq!((state.get(3), state.get(5)), (None, None));
    }
}
