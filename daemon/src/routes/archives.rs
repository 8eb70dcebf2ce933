//! Images that come and go as tars: save, load and import.

mod download;

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue};
use layer_engine::{Changes, ImportRequest, Load, LoadEvent, LoadRequest, chain};
use layer_proto::{LayerStatus, ProgressLine};
use layer_reference::Reference;

use super::{App, pull};
use crate::answer;
use crate::failure::Failure;
use crate::params::Params;

/// The media type of an archive.
const TAR: HeaderValue = HeaderValue::from_static("application/x-tar");

/// `GET /images/get`: several images in one archive.
#[utoipa::path(
    get,
    path = "/images/get",
    tag = "Docker",
    operation_id = "ImageGetAll",
    params(
        ("names" = Option<Vec<String>>, Query, description = "The images."),
        ("platform" = Option<Vec<String>>, Query, description = "`os[/arch[/variant]]`, or an object in JSON; several."),
    ),
    responses(
        (status = 200, description = "The images in one archive.", body = Vec<u8>, content_type = "application/x-tar"),
        (status = "default", description = "What went wrong.", body = layer_proto::ErrorBody),
    )
)]
pub(super) async fn save(State(app): State<App>, params: Params) -> Result<Response, Failure> {
    let names: Vec<String> = params.all("names").into_iter().map(str::to_owned).collect();
    saved(&app, &names, &params).await
}

/// Images as an archive. What can be wrong is found out before its first byte; after that it can only break off.
pub(super) async fn saved(app: &App, names: &[String], params: &Params) -> Result<Response, Failure> {
    let archive = app.engine.save(names, &params.platforms("platform")?).await?;
    let body = Body::from_stream(stream::unfold(archive, |mut archive| async move {
        let piece = archive.next().await?;
        Some((piece, archive))
    }));
    Ok(([(CONTENT_TYPE, TAR)], body).into_response())
}

/// How long a body is read on that belongs to a request which makes no sense.
const PATIENCE: Duration = Duration::from_secs(10);

/// Reads a body whose request is refused. To whoever is told "no" while still sending, the connection breaks before he hears it.
async fn refused<T>(result: Result<T, Failure>, body: Body) -> Result<(T, Body), Failure> {
    let failure = match result {
        Ok(value) => return Ok((value, body)),
        Err(failure) => failure,
    };
    let mut rest = body.into_data_stream();
    // Who sends for longer than that hears it or not.
    let _ = tokio::time::timeout(PATIENCE, async { while let Some(Ok(_)) = rest.next().await {} }).await;
    Err(failure)
}

/// `POST /images/load`. The answer begins at once and may go on while the archive still comes; failures are told in it, as docker's are.
#[utoipa::path(
    post,
    path = "/images/load",
    tag = "Docker",
    operation_id = "ImageLoad",
    params(
        ("quiet" = Option<bool>, Query, description = "Tell no progress, which is so unless said otherwise."),
        ("platform" = Option<Vec<String>>, Query, description = "`os[/arch[/variant]]`, or an object in JSON; several."),
    ),
    request_body(content = Vec<u8>, content_type = "application/x-tar", description = "An archive, plain or packed."),
    responses(
        (status = 200, description = "Lines of progress, each an object as `ProgressLine` has it; an error is the last of them."),
        (status = "default", description = "What went wrong.", body = layer_proto::ErrorBody),
    )
)]
pub(super) async fn load(State(app): State<App>, params: Params, body: Body) -> Result<Response, Failure> {
    let (platforms, body) = refused(params.platforms("platform"), body).await?;
    let request = LoadRequest { platforms };
    // Whoever says nothing about it wants no progress.
    let is_quiet = params.text("quiet").is_none() || params.flag("quiet");
    let load = app.engine.load(request, body.into_data_stream());
    let state = (load, is_quiet);
    let lines = stream::unfold(state, |(mut load, is_quiet): (Load, bool)| async move {
        loop {
            let event = load.next().await?;
            if is_quiet && matches!(event, LoadEvent::Layer { .. }) {
                continue;
            }
            return Some((Ok::<_, Infallible>(Bytes::from(line(&event).to_bytes())), (load, is_quiet)));
        }
    });
    Ok(([(CONTENT_TYPE, answer::JSON)], Body::from_stream(lines)).into_response())
}

/// The line that an event is told in.
fn line(event: &LoadEvent) -> ProgressLine {
    match event {
        LoadEvent::Layer { id, done, total } => {
            ProgressLine::layer_progress(id.as_str(), LayerStatus::Loading, *done, *total)
        }
        LoadEvent::Loaded { name: Some(name), .. } => {
            ProgressLine::text(format!("Loaded image: {}\n", name.familiar()))
        }
        LoadEvent::Loaded { image, name: None } => ProgressLine::text(format!("Loaded image ID: {image}\n")),
        LoadEvent::Failed(error) => ProgressLine::error(chain(&**error), error.hint()),
    }
}

/// `POST /images/create`: a pull, or an import.
#[utoipa::path(
    post,
    path = "/images/create",
    tag = "Docker",
    operation_id = "ImageCreate",
    params(
        ("fromImage" = Option<String>, Query, description = "A pull: the image."),
        ("tag" = Option<String>, Query, description = "A tag or a digest; for a pull, all tags without one."),
        ("platform" = Option<String>, Query, description = "`os[/arch[/variant]]`, or an object in JSON."),
        ("retries" = Option<u32>, Query, description = "A pull: how often a registry that fails is asked again."),
        ("stallTimeout" = Option<u32>, Query, description = "A pull: how many seconds a registry may be silent."),
        ("fromSrc" = Option<String>, Query, description = "An import: `-` for the body, or the address of a tar."),
        ("repo" = Option<String>, Query, description = "An import: the name that the image gets."),
        ("message" = Option<String>, Query, description = "An import: what for."),
        ("changes" = Option<Vec<String>>, Query, description = "An import: lines of a Dockerfile."),
        ("X-Registry-Auth" = Option<String>, Header, description = "A login in JSON, in URL-safe base64."),
    ),
    request_body(content = Option<Vec<u8>>, content_type = "application/x-tar", description = "An import: a tar with a root file system."),
    responses(
        (status = 200, description = "Lines of progress, each an object as `ProgressLine` has it; an error is the last of them."),
        (status = "default", description = "What went wrong.", body = layer_proto::ErrorBody),
    )
)]
pub(super) async fn create(
    State(app): State<App>,
    params: Params,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Failure> {
    if params.text("fromImage").is_some() || !params.has("fromSrc") {
        return pull::create(State(app), params, headers).await;
    }
    let (request, body) = refused(import(&params), body).await?;
    match params.text("fromSrc") {
        Some("-") | None => {
            // The import belongs to the answer: when the client goes, it is dropped.
            let image = app.engine.import(request, body.into_data_stream()).done().await?;
            let line = ProgressLine::message(image.to_string()).to_bytes();
            Ok(([(CONTENT_TYPE, answer::JSON)], line).into_response())
        }
        Some(address) => download::import(&app, request, address).await,
    }
}

/// What to import.
fn import(params: &Params) -> Result<ImportRequest, Failure> {
    Ok(ImportRequest {
        name: name(params)?,
        message: params.text("message").unwrap_or_default().to_owned(),
        changes: Changes::parse(params.all("changes"))?,
        platform: params.platform()?,
    })
}

/// The name that an imported image gets.
fn name(params: &Params) -> Result<Option<Reference>, Failure> {
    let Some(repository) = params.text("repo") else { return Ok(None) };
    let reference = Reference::parse(repository)?;
    if reference.digest().is_some() {
        return Err(Failure::invalid("cannot import digest reference"));
    }
    let reference = match params.text("tag") {
        Some(tag) => reference.with_tag(tag)?,
        None => reference.or_latest(),
    };
    reference.check_reserved()?;
    Ok(Some(reference))
}

#[cfg(test)]
mod tests {
    use layer_digest::{Digest, ImageId};

    use super::*;

    #[test]
    fn lines_are_docker_s() {
        let image = ImageId(Digest::sha256(b""));
        let told = |event: &LoadEvent| String::from_utf8(line(event).to_bytes()).unwrap();
        let name = Reference::parse("busybox:1").unwrap();
        assert_eq!(
            told(&LoadEvent::Loaded { image, name: Some(name) }),
            "{\"stream\":\"Loaded image: busybox:1\\n\"}\r\n"
        );
        assert_eq!(
            told(&LoadEvent::Loaded { image, name: None }),
            format!("{{\"stream\":\"Loaded image ID: {image}\\n\"}}\r\n")
        );
        let layer = told(&LoadEvent::Layer { id: "0123456789ab".to_owned(), done: 1 << 20, total: 2 << 20 });
        assert!(
            layer.starts_with(
                "{\"status\":\"Loading layer\",\"progressDetail\":{\"current\":1048576,\"total\":2097152}"
            )
        );
    }
}
