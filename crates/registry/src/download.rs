//! What an address leads to: a file that lies anywhere on the web, not in a registry.

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use reqwest::Url;

use crate::body::{next_chunk, refuse};
use crate::client::Client;
use crate::context::{Asked, Context, Role};
use crate::error::RegistryError;
use crate::redirect::authority;
use crate::retry::with_retries;
use crate::retry::{RetryPolicy, Told};
use crate::transport::{Answer, Patience, Request};

/// Somebody sits and waits for the answer: what fails three times is told.
const TRIES: u32 = 3;

/// A file on its way.
#[derive(Debug)]
pub struct Download {
    answer: Answer,
    patience: Patience,
    at: u64,
    shown: String,
}

impl Client {
    /// Asks for what lies at `address`, and returns it once its first bytes are about to come.
    ///
    /// Without a scheme the address is one in plain http, as docker takes it. Certificates, proxies and time limits are those of a registry at
    /// the same host. Nobody is shown a login.
    ///
    /// # Errors
    ///
    /// When the address is none of the web, or nothing is to be had there.
    pub async fn download(&self, address: &str) -> Result<Download, RegistryError> {
        let url = url(address)?;
        let shown = shown(&url);
        let host = authority(&url);
        let mut context = Context::new(&host, Asked::Url { shown: shown.clone() });
        context.peer.role = Role::Site(host.clone());
        let policy = RetryPolicy { tries: self.shared.retry.tries.min(TRIES), ..self.shared.retry.clone() };
        let patience = self.shared.patience;
        let answer = with_retries(&policy, &Told::default(), || async {
            // What is said of certificates there holds, and what is said of mirrors doesn't: they have what a registry has.
            let endpoints = self.shared.endpoints(&host, &context)?;
            let nobody = || RegistryError::NobodyToAsk { context: Box::new(context.clone()) };
            let site = endpoints.last().ok_or_else(nobody)?;
            let request = Request {
                method: Method::GET,
                url: url.clone(),
                headers: HeaderMap::new(),
                own_headers: HeaderMap::new(),
                authorization: None,
                apart: false,
                context: &context,
            };
            let answer = site.transport.send(request, patience).await?;
            if answer.response.status() == StatusCode::OK {
                Ok(answer)
            } else {
                Err(refuse(answer, None, patience).await)
            }
        })
        .await?;
        Ok(Download { answer, patience, at: 0, shown })
    }
}

impl Download {
    /// The address, without what may be secret in it.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// The bytes of the whole file, where the server says how many.
    pub fn size(&self) -> Option<u64> {
        self.answer.response.content_length()
    }

    /// The next bytes; `None` at the end. Safe to cancel.
    ///
    /// # Errors
    ///
    /// When the connection breaks or stays silent. The file can't be used then.
    pub async fn next(&mut self) -> Result<Option<Bytes>, RegistryError> {
        let Answer { response, context } = &mut self.answer;
        let chunk = next_chunk(response, context, self.patience.stall, self.at).await?;
        self.at += chunk.as_ref().map_or(0, |chunk| chunk.len() as u64);
        Ok(chunk)
    }
}

/// The address that a text means.
fn url(address: &str) -> Result<Url, RegistryError> {
    let bad = || RegistryError::BadRequest { what: "address of the web", text: masked(address) };
    let whole = if address.contains("://") { address.to_owned() } else { format!("http://{address}") };
    let mut url: Url = whole.parse().map_err(|_| bad())?;
    let is_open = url.username().is_empty() && url.password().is_none();
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() || !is_open {
        return Err(bad());
    }
    url.set_fragment(None);
    Ok(url)
}

/// An address as it can be shown: a query may be signed.
fn shown(url: &Url) -> String {
    let more = if url.query().is_some() { "?…" } else { "" };
    format!("{}://{}{}{more}", url.scheme(), authority(url), url.path())
}

/// A text that should have been an address, without what may be a password in it.
fn masked(text: &str) -> String {
    let text = match text.rsplit_once('@') {
        Some((_, rest)) => format!("…@{rest}"),
        None => text.to_owned(),
    };
    // What is behind it may be signed.
    let shown: String = text.split('?').next().unwrap_or_default().chars().take(200).collect();
    if text.contains('?') { format!("{shown}?…") } else { shown }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_one_of_the_web() {
        for (text, want) in [
            ("http://h.example/a.tar", Some("http://h.example/a.tar")),
            ("https://h.example:8443/a.tar#part", Some("https://h.example:8443/a.tar")),
            ("h.example/a.tar", Some("http://h.example/a.tar")),
            ("127.0.0.1:8000/a.tar?sig=1", Some("http://127.0.0.1:8000/a.tar?sig=1")),
            ("ftp://h.example/a", None),
            ("file:///etc/shadow", None),
            ("http://", None),
            ("http://bob:hidden@h.example/a", None),
        ] {
            assert_eq!(url(text).ok().map(String::from).as_deref(), want, "{text}");
        }
    }

    #[test]
    fn nothing_secret_is_shown() {
        let error = url("http://bob:hidden@h.example/a").unwrap_err().to_string();
        assert_eq!(error, "`…@h.example/a` is no address of the web");
        let error = url("ftp://h.example/a?token=hidden").unwrap_err().to_string();
        assert_eq!(error, "`ftp://h.example/a?…` is no address of the web");
        assert_eq!(shown(&url("h.example/a?token=hidden").unwrap()), "http://h.example/a?…");
    }
}
