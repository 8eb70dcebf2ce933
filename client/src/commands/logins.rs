//! The logins that the pulls and pushes of one run are made with.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use layer_proto::AuthConfig;

use crate::credentials::{self, Places, Registry, Wanted};
use crate::error::Error;
use crate::render::progress::Screen;

/// The logins of one run.
#[derive(Clone, Debug)]
pub(super) struct Logins {
    places: Places,
    screen: Screen,
    /// What was answered when a login was asked for.
    pub(super) given: HashMap<Registry, Option<AuthConfig>>,
    /// What was told about places that can't be asked; once is enough.
    told: Arc<Mutex<HashSet<String>>>,
}

impl Logins {
    pub(super) fn new(screen: Screen) -> Self {
        Self { places: Places::of_user(), screen, given: HashMap::new(), told: Arc::default() }
    }

    /// The login for an image. What can't be found out is told, and the pull goes on without: most images need none.
    pub(super) async fn find(&self, name: &str) -> Option<AuthConfig> {
        let wanted = Wanted::image(name);
        if let Some(Some(login)) = self.given.get(&wanted.registry) {
            return Some(login.clone());
        }
        let found = credentials::find(&self.places, &wanted).await;
        for trouble in found.troubles {
            let trouble = Error::from(trouble);
            let hint = trouble.hint().map_or(String::new(), |hint| format!("\nhint: {hint}"));
            let text = trouble.line() + &hint;
            if self.told.lock().unwrap_or_else(PoisonError::into_inner).insert(text.clone()) {
                self.screen.warn(&text);
            }
        }
        found.login
    }
}
