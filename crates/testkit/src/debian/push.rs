//! Pushing an image into any registry, in the plainest way: one upload a blob, children before their parents.

use std::net::SocketAddr;

use anyhow::{Context, Result, bail};

use crate::Blob;
use crate::Content;
use crate::http::{Response, request};
use crate::image::{Document, Image};

/// Pushes all of `image` and tags it. `authorization` is the value of that header, if the registry wants one.
///
/// # Errors
/// A request fails, or the registry answers anything but 201.
pub fn push(
    address: SocketAddr,
    repository: &str,
    tag: &str,
    image: &Image,
    authorization: Option<&str>,
) -> Result<()> {
    let target = Target { address, repository, authorization };
    for one in &image.blobs {
        target.blob(one)?;
    }
    for document in &image.documents {
        target.document(&document.digest, document)?;
    }
    target.document(tag, &image.top)
}

struct Target<'a> {
    address: SocketAddr,
    repository: &'a str,
    authorization: Option<&'a str>,
}

impl Target<'_> {
    fn blob(&self, blob: &Blob) -> Result<()> {
        let start = format!("/v2/{}/blobs/uploads/", self.repository);
        let nothing = Content::from(Vec::new());
        let answer = self.send("POST", &start, &[], &nothing)?;
        expect(&answer, 202, &start)?;
        let location = answer.header("location").context("an upload without a place to go")?;
        // It may name the host or not; it is the same one.
        let place = match location.split_once("://") {
            Some((_, rest)) => &rest[rest.find('/').unwrap_or(rest.len())..],
            None => location,
        };
        let joint = if place.contains('?') { '&' } else { '?' };
        let end = format!("{place}{joint}digest={}", blob.digest);
        let answer = self.send("PUT", &end, &[("Content-Type", "application/octet-stream")], &blob.content)?;
        expect(&answer, 201, &blob.digest)
    }

    fn document(&self, reference: &str, document: &Document) -> Result<()> {
        let place = format!("/v2/{}/manifests/{reference}", self.repository);
        let content = Content::from(document.bytes.clone());
        let answer = self.send("PUT", &place, &[("Content-Type", &document.media_type)], &content)?;
        expect(&answer, 201, &place)
    }

    fn send(&self, method: &str, place: &str, headers: &[(&str, &str)], body: &Content) -> Result<Response> {
        let authorization = self.authorization.map(|value| ("Authorization", value));
        let headers: Vec<(&str, &str)> = headers.iter().copied().chain(authorization).collect();
        request(self.address, method, place, &headers, body)
    }
}

fn expect(answer: &Response, status: u16, what: &str) -> Result<()> {
    if answer.status != status {
        let words = String::from_utf8_lossy(&answer.body);
        bail!("push `{what}`: the registry answered {}: {}", answer.status, words.trim());
    }
    Ok(())
}
