//! What the registry has, and its true answer to each request.

use std::collections::{BTreeMap, HashMap};

use serde_json::json;

use super::answer::Answer;
use super::wire::{Asked, Incoming, range};
use crate::image::{Document, Image};
use crate::{Blob, Content};

#[derive(Default)]
pub(super) struct Holdings {
    repositories: HashMap<String, Repository>,
    /// Tags in one page at most, if the client doesn't ask for fewer.
    pub(super) tag_page: Option<usize>,
}

#[derive(Default)]
struct Repository {
    tags: BTreeMap<String, String>,
    documents: HashMap<String, Document>,
    blobs: HashMap<String, Content>,
}

impl Holdings {
    fn repository(&mut self, name: &str) -> &mut Repository {
        self.repositories.entry(name.to_owned()).or_default()
    }

    pub(super) fn put_image(&mut self, repository: &str, tag: &str, image: &Image) {
        let held = self.repository(repository);
        held.tags.insert(tag.to_owned(), image.top.digest.clone());
        for document in image.documents.iter().chain([&image.top]) {
            held.documents.insert(document.digest.clone(), document.clone());
        }
        for blob in &image.blobs {
            held.blobs.insert(blob.digest.clone(), blob.content.clone());
        }
    }

    pub(super) fn put_document(&mut self, repository: &str, document: Document) {
        self.repository(repository).documents.insert(document.digest.clone(), document);
    }

    pub(super) fn put_blob(&mut self, repository: &str, blob: &Blob) {
        self.repository(repository).blobs.insert(blob.digest.clone(), blob.content.clone());
    }

    pub(super) fn put_tag(&mut self, repository: &str, tag: &str, digest: &str) {
        self.repository(repository).tags.insert(tag.to_owned(), digest.to_owned());
    }

    pub(super) fn remove(&mut self, repository: &str, what: &str) -> bool {
        let held = self.repository(repository);
        let tag = held.tags.remove(what).is_some();
        let document = held.documents.remove(what).is_some();
        let blob = held.blobs.remove(what).is_some();
        tag || document || blob
    }

    /// The answer without faults. `whole` says that a Range is not to be looked at.
    pub(super) fn answer(&self, asked: &Asked, request: &Incoming, whole: bool) -> Answer {
        if !matches!(request.method.as_str(), "GET" | "HEAD") {
            return Answer::error(405, "UNSUPPORTED", "this registry is for pulling");
        }
        let held = asked.repository().map(|name| self.repositories.get(name));
        match (asked, held) {
            (Asked::Ping, _) => Answer::json(200, &json!({})),
            (Asked::Tags { repository }, Some(Some(held))) => self.tags(repository, held, request),
            (Asked::Manifest { reference, .. }, Some(Some(held))) => {
                let digest = held.tags.get(reference).unwrap_or(reference);
                let Some(document) = held.documents.get(digest) else {
                    return Answer::error(404, "MANIFEST_UNKNOWN", "manifest unknown");
                };
                let mut answer = Answer::content(document.bytes.clone().into(), None);
                answer.set_header("Content-Type", &document.media_type);
                answer.set_header("Docker-Content-Digest", &document.digest);
                answer
            }
            (Asked::Blob { digest, .. }, Some(Some(held))) => {
                let Some(content) = held.blobs.get(digest) else {
                    return Answer::error(404, "BLOB_UNKNOWN", "blob unknown to registry");
                };
                let header = request.header("range").filter(|_| !whole && request.method == "GET");
                let Ok(part) = range(header, content.len()) else {
                    let mut answer = Answer::error(416, "RANGE_INVALID", "the range lies outside the blob");
                    answer.set_header("Content-Range", &format!("bytes */{}", content.len()));
                    return answer;
                };
                let mut answer = Answer::content(content.clone(), part);
                answer.set_header("Content-Type", "application/octet-stream");
                answer.set_header("Docker-Content-Digest", digest);
                answer
            }
            (Asked::Manifest { .. }, _) => Answer::error(404, "MANIFEST_UNKNOWN", "manifest unknown"),
            (_, Some(None)) => Answer::error(404, "NAME_UNKNOWN", "repository name not known to registry"),
            _ => Answer::error(404, "UNSUPPORTED", "nothing is here"),
        }
    }

    fn tags(&self, name: &str, held: &Repository, request: &Incoming) -> Answer {
        let fields = request.fields();
        let field = |name: &str| fields.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
        let last = field("last").unwrap_or_default();
        let asked: Option<usize> = field("n").and_then(|text| text.parse().ok());
        let page = asked.into_iter().chain(self.tag_page).min().unwrap_or(usize::MAX);
        let mut left = held.tags.keys().filter(|tag| **tag > last);
        let tags: Vec<&String> = left.by_ref().take(page).collect();
        let mut answer = Answer::json(200, &json!({"name": name, "tags": tags}));
        if let (Some(last), true) = (tags.last(), left.next().is_some()) {
            let next = format!("</v2/{name}/tags/list?last={last}&n={page}>; rel=\"next\"");
            answer.set_header("Link", &next);
        }
        answer
    }
}
