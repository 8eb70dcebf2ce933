//! The history of what happened to images. What an event says is the engine's affair; here it is bytes, and cheap to lose.

use crate::Store;

impl Store {
    /// Keeps an event under its number, and forgets the one that is `kept` numbers older.
    pub fn keep_event(&self, number: u64, bytes: &[u8], kept: u64) {
        self.facts.set_event(number, bytes, kept);
    }

    /// The events that are kept, with their numbers, oldest first.
    pub fn events(&self) -> Vec<(u64, Vec<u8>)> {
        self.facts.events()
    }
}
