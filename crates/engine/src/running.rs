//! Pulls that run, whoever began them.

use layer_reference::Reference;
use layer_transfer::{Follow, RunningPull};

use crate::{Engine, EngineError};

impl Engine {
    /// The pulls that run, the oldest first.
    pub fn pulls(&self) -> Vec<RunningPull> {
        self.shared.transfer.pulls()
    }

    /// Follows a pull from how far it has come. `what` is its number, or the name of its image; of several with one name the oldest is followed.
    ///
    /// # Errors
    ///
    /// When no such pull runs.
    pub fn follow_pull(&self, what: &str) -> Result<Follow, EngineError> {
        let found = self.meant(what).into_iter().find_map(|pull| self.shared.transfer.follow_pull(pull.id));
        found.ok_or_else(|| EngineError::NoSuchPull { what: what.to_owned() })
    }

    /// Ends pulls, as if whoever began them had gone: what has come is kept, and goes on when it is pulled again. `what` is a pull's number, or the
    /// name of an image, for all pulls of it. Layers that another pull wants come on.
    ///
    /// # Errors
    ///
    /// When no such pull runs.
    pub fn cancel_pulls(&self, what: &str) -> Result<Vec<RunningPull>, EngineError> {
        let ended: Vec<_> =
            self.meant(what).into_iter().filter_map(|pull| self.shared.transfer.cancel_pull(pull.id)).collect();
        if ended.is_empty() {
            return Err(EngineError::NoSuchPull { what: what.to_owned() });
        }
        for pull in &ended {
            tracing::info!(id = pull.id, reference = %pull.reference, "cancelled a pull");
        }
        Ok(ended)
    }

    fn meant(&self, what: &str) -> Vec<RunningPull> {
        // The number of a pull that runs is meant before an image of that name.
        if let Some(pull) =
            what.parse().ok().and_then(|number: u64| self.pulls().into_iter().find(|pull| pull.id == number))
        {
            return vec![pull];
        }
        let name = Reference::parse(what).map(Reference::or_latest).ok();
        let is_meant = |pull: &RunningPull| name.as_ref() == Some(&pull.reference);
        self.pulls().into_iter().filter(is_meant).collect()
    }
}
