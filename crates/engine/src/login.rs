//! Trying a login out at its registry.

use layer_registry::{Credentials, Login};

use crate::{Engine, EngineError};

impl Engine {
    /// Asks the registry `server` whether it accepts `credentials`. Nothing is kept of them.
    ///
    /// `server` is a host or an address; empty for Docker Hub.
    ///
    /// # Errors
    ///
    /// When the registry refuses or can't be reached.
    pub async fn login(&self, server: &str, credentials: &Credentials) -> Result<Login, EngineError> {
        let tried = self.shared.client.login(server, credentials).await;
        match &tried {
            Ok(_) => tracing::info!(server, "tried a login"),
            // Whatever was typed in the server's place is not for the log.
            Err(error) => tracing::info!(kind = ?error.kind(), "tried a login in vain"),
        }
        tried.map_err(EngineError::Registry)
    }
}
