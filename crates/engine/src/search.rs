//! What is elsewhere: searches, and files that an address leads to.

use layer_registry::{Credentials, Download, FoundRepository, SearchRequest};

use crate::{Engine, EngineError};

impl Engine {
    /// Asks a registry which repositories it has to offer for a word.
    ///
    /// # Errors
    ///
    /// When the registry refuses, can't be reached, or knows no search.
    pub async fn search(
        &self,
        request: &SearchRequest,
        credentials: &Credentials,
    ) -> Result<Vec<FoundRepository>, EngineError> {
        self.shared.client.search(request, credentials).await.map_err(EngineError::Registry)
    }

    /// Asks for the file that an address leads to, such as one to be imported.
    ///
    /// # Errors
    ///
    /// When the address is none of the web, or nothing is to be had there.
    pub async fn download(&self, address: &str) -> Result<Download, EngineError> {
        self.shared.client.download(address).await.map_err(EngineError::Registry)
    }
}
