//! The tags of a repository, page by page.

use http::header::LINK;
use http::{HeaderMap, Method, StatusCode};
use serde::Deserialize;

use crate::body::read_capped;
use crate::client::{Place, RepositoryClient};
use crate::context::{Asked, Context};
use crate::error::RegistryError;
use crate::retry::with_retries;

/// The tags asked for at once. Registries give fewer when they like.
const PAGE: usize = 1000;

/// The most bytes of a page. Registries that know no pages send all they have at once.
const MAX_PAGE: u64 = 16 * 1024 * 1024;

/// The most tags of a repository. The largest in the field have some hundred thousand.
const MAX_TAGS: usize = 1_000_000;

/// The most pages of a list, so that empty ones come to an end too.
const MAX_PAGES: usize = 10_000;

#[derive(Deserialize)]
struct Page {
    /// Some registries write `null` for none.
    tags: Option<Vec<String>>,
}

impl RepositoryClient {
    /// The tags of the repository, in the registry's order.
    ///
    /// Each page is fetched with retries. What is no tag by its spelling is left out. Safe to cancel.
    ///
    /// # Errors
    ///
    /// When the registry refuses or cannot be reached, and when the list has no end.
    pub async fn tags(&self) -> Result<Vec<String>, RegistryError> {
        let context = self.context(Asked::Tags { repository: self.path().to_owned() });
        let mut all = Vec::new();
        let mut query = format!("n={PAGE}");
        for _ in 0..MAX_PAGES {
            let (page, next) = with_retries(&self.retry, &self.told, || self.tags_page(&query, &context)).await?;
            all.extend(page.into_iter().filter(|tag| is_tag(tag)));
            match next {
                Some(next) if all.len() <= MAX_TAGS && next != query => query = next,
                Some(_) => break,
                None => return Ok(all),
            }
        }
        let reason = "the list of tags has no end".to_owned();
        Err(RegistryError::Malformed { context: Box::new(context), reason })
    }

    async fn tags_page(&self, query: &str, context: &Context) -> Result<(Vec<String>, Option<String>), RegistryError> {
        let place = Place { path: "tags/list", query: Some(query) };
        let answer = self.ask(Method::GET, &place, HeaderMap::new(), context).await?;
        if answer.response.status() != StatusCode::OK {
            return Err(self.refuse(answer).await);
        }
        let next = answer.response.headers().get(LINK).and_then(|link| next_query(link.to_str().ok()?));
        let malformed = {
            let context = Box::new(answer.context.clone());
            |_| RegistryError::Malformed { context, reason: "it is no JSON object with tags".to_owned() }
        };
        let bytes = read_capped(answer, MAX_PAGE, self.patience).await?;
        let page: Page = serde_json::from_slice(&bytes).map_err(malformed)?;
        Ok((page.tags.unwrap_or_default(), next))
    }
}

/// The query of the link to the next page.
///
/// Nothing else of the link is used: the list stays where it is, whatever a registry behind a proxy believes its own address to be.
///
/// Spec: OCI distribution-spec 1.1, "Listing Tags"; RFC 8288.
fn next_query(link: &str) -> Option<String> {
    link.split(',').find_map(|link| {
        let (target, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
        let next = parameters.split(';').any(|parameter| {
            parameter.split_once('=').is_some_and(|(name, value)| {
                name.trim().eq_ignore_ascii_case("rel") && value.trim().trim_matches('"').eq_ignore_ascii_case("next")
            })
        });
        let (_, query) = target.split_once('?')?;
        (next && !query.is_empty()).then(|| query.to_owned())
    })
}

/// Whether `text` is spelled like a tag: nothing else may become part of an address.
///
/// Spec: OCI distribution-spec 1.1, "Pulling Manifests".
pub(crate) fn is_tag(text: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    text.len() <= 128
        && text.bytes().next().is_some_and(word)
        && text.bytes().all(|byte| word(byte) || byte == b'.' || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_next_page() {
        for (link, want) in [
            ("</v2/x/tags/list?last=a&n=1>; rel=\"next\"", Some("last=a&n=1")),
            ("<http://elsewhere/v2/x/tags/list?last=a>; REL=next", Some("last=a")),
            ("</first?a>; rel=\"first\", </v2/x/tags/list?b>; rel=\"next\"", Some("b")),
            ("</v2/x/tags/list>; rel=\"next\"", None),
            ("</v2/x?a>; rel=\"prev\"", None),
            ("</v2/x?a", None),
            ("", None),
        ] {
            assert_eq!(next_query(link).as_deref(), want, "{link}");
        }
    }

    #[test]
    fn a_tag_is_a_word_with_dots_and_dashes() {
        for (text, tag) in [
            ("latest", true),
            ("_1.0-rc.1", true),
            (&*"a".repeat(128), true),
            (&*"a".repeat(129), false),
            (".a", false),
            ("-a", false),
            ("", false),
            ("a/b", false),
            ("../a", false),
            ("a?b", false),
            ("a b", false),
            ("ä", false),
        ] {
            assert_eq!(is_tag(text), tag, "{text}");
        }
    }
}
