//! Requests about one image, `/images/{name}…`.

use axum::Extension;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, Method, StatusCode, Uri};
use layer_proto::ApiVersion;
use layer_reference::Reference;

use super::{App, archives, image_form, push};
use crate::answer;
use crate::failure::{Failure, page_not_found};
use crate::params::Params;
use crate::path::ImagePath;

/// Finds out what is asked of which image.
pub(super) async fn named(
    State(app): State<App>,
    Extension(version): Extension<ApiVersion>,
    params: Params,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let path = ImagePath::new(uri.path()).ok_or_else(|| Failure::invalid("the path is not encoded as a URL is"))?;
    if method == Method::DELETE {
        return remove(&app, path.name(), &params).await;
    }
    let Some((name, operation)) = operation(&path, &method) else { return Ok(page_not_found()) };
    match operation {
        Operation::Inspect => inspect(&app, name, &params, version).await,
        Operation::History => history(&app, name, &params).await,
        Operation::Attestations => attestations(&app, name, &params).await,
        Operation::Save => save(&app, name, &params).await,
        Operation::Tag => tag(&app, name, &params).await,
        Operation::Push => push::push(&app, name, &params, &headers),
    }
}

/// What can be done with one image, beside removing it.
#[derive(Clone, Copy, Debug)]
enum Operation {
    Inspect,
    History,
    Attestations,
    Save,
    Tag,
    Push,
}

/// The method of each, and the word at the end of its path.
const OPERATIONS: [(Method, &str, Operation); 6] = [
    (Method::GET, "json", Operation::Inspect),
    (Method::GET, "history", Operation::History),
    (Method::GET, "attestations", Operation::Attestations),
    (Method::GET, "get", Operation::Save),
    (Method::POST, "tag", Operation::Tag),
    (Method::POST, "push", Operation::Push),
];

fn operation<'a>(path: &'a ImagePath, method: &Method) -> Option<(&'a str, Operation)> {
    let (name, word) = path.name_and_word()?;
    let found = OPERATIONS.iter().find(|(known, end, _)| known == method && *end == word)?;
    Some((name, found.2))
}

/// The paths of all, with the name of the image left open.
#[cfg(test)]
pub(super) fn paths() -> Vec<(Method, String)> {
    let all = OPERATIONS.map(|(method, word, _)| (method, format!("/images/{{name}}/{word}")));
    all.into_iter().chain([(Method::DELETE, "/images/{name}".to_owned())]).collect()
}

#[utoipa::path(
    get,
    path = "/images/{name}/get",
    tag = "Docker",
    operation_id = "ImageGet",
    params(
        ("name" = String, Path, description = "A name, an ID, or the beginning of an ID."),
        ("platform" = Option<Vec<String>>, Query, description = "`os[/arch[/variant]]`, or an object in JSON; several."),
    ),
    responses(
        (status = 200, description = "The image in an archive.", body = Vec<u8>, content_type = "application/x-tar"),
        (status = "default", description = "What went wrong.", body = layer_proto::ErrorBody),
    )
)]
pub(super) async fn save(app: &App, name: &str, params: &Params) -> Result<Response, Failure> {
    archives::saved(app, &[name.to_owned()], params).await
}

#[utoipa::path(
    get,
    path = "/images/{name}/json",
    tag = "Docker",
    operation_id = "ImageInspect",
    params(
        ("name" = String, Path, description = "A name, an ID, or the beginning of an ID."),
        ("platform" = Option<String>, Query, description = "`os[/arch[/variant]]`, or an object in JSON."),
        ("manifests" = Option<bool>, Query, description = "Tell its platforms; not together with `platform`."),
    ),
    responses(
        (status = 200, description = "All that is known about the image.", body = layer_proto::ImageInspect),
        (status = "default", description = "What went wrong.", body = layer_proto::ErrorBody),
    )
)]
pub(super) async fn inspect(app: &App, name: &str, params: &Params, version: ApiVersion) -> Result<Response, Failure> {
    if params.flag("manifests") && params.text("platform").is_some() {
        return Err(Failure::invalid("conflicting options: manifests and platform options cannot both be set"));
    }
    let platform = params.platform()?;
    let image = app.engine.image(name, platform.as_ref()).await?;
    // What the index says of a platform belongs to whom asks for it.
    let entry = platform.map(|_| image_form::entry(&image.descriptor));
    let mut form = image_form::inspect(image);
    form.descriptor = entry.or(form.descriptor);
    if params.flag("manifests") {
        let manifests = app.engine.manifests(name).await?;
        form.manifests = Some(manifests.into_iter().map(image_form::manifest).collect());
    }
    Ok(answer::found(&form.at(version)))
}

#[utoipa::path(
    get,
    path = "/images/{name}/history",
    tag = "Docker",
    operation_id = "ImageHistory",
    params(
        ("name" = String, Path, description = "A name, an ID, or the beginning of an ID."),
        ("platform" = Option<String>, Query, description = "`os[/arch[/variant]]`, or an object in JSON."),
    ),
    responses(
        (status = 200, description = "The steps that made the image, newest first.", body = Vec<layer_proto::HistoryItem>),
        (status = "default", description = "What went wrong.", body = layer_proto::ErrorBody),
    )
)]
pub(super) async fn history(app: &App, name: &str, params: &Params) -> Result<Response, Failure> {
    let steps = app.engine.history(name, params.platform()?.as_ref()).await?;
    let steps: Vec<_> = steps.into_iter().map(image_form::history).collect();
    Ok(answer::found(&steps))
}

#[utoipa::path(
    get,
    path = "/images/{name}/attestations",
    tag = "Docker",
    operation_id = "ImageAttestations",
    params(
        ("name" = String, Path, description = "A name, an ID, or the beginning of an ID."),
        ("platform" = Option<String>, Query, description = "`os[/arch[/variant]]`, or an object in JSON."),
        ("type" = Option<Vec<String>>, Query, description = "Only statements of these types."),
        ("statement" = Option<bool>, Query, description = "Tell the statements themselves."),
    ),
    responses(
        (status = 200, description = "What builders state about the image.", body = Vec<layer_proto::image::AttestationStatement>),
        (status = "default", description = "What went wrong.", body = layer_proto::ErrorBody),
    )
)]
pub(super) async fn attestations(app: &App, name: &str, params: &Params) -> Result<Response, Failure> {
    let platforms = params.platforms("platform")?;
    if platforms.len() > 1 {
        return Err(Failure::invalid("only one platform can be given"));
    }
    let types: Vec<String> = params.all("type").into_iter().map(str::to_owned).collect();
    let found = app.engine.attestations(name, platforms.first(), &types, params.flag("statement")).await?;
    let found: Vec<_> = found.into_iter().map(image_form::attestation).collect();
    Ok(answer::found(&found))
}

#[utoipa::path(
    post,
    path = "/images/{name}/tag",
    tag = "Docker",
    operation_id = "ImageTag",
    params(
        ("name" = String, Path, description = "A name, an ID, or the beginning of an ID."),
        ("repo" = Option<String>, Query, description = "The new name; without one nothing happens."),
        ("tag" = Option<String>, Query, description = "Its tag."),
    ),
    responses(
        (status = 201, description = "The image has the name."),
        (status = 200, description = "No name was given."),
        (status = "default", description = "What went wrong.", body = layer_proto::ErrorBody),
    )
)]
pub(super) async fn tag(app: &App, name: &str, params: &Params) -> Result<Response, Failure> {
    // A quirk of docker: to give no name is no error.
    let Some(repository) = params.text("repo") else { return Ok(StatusCode::OK.into_response()) };
    let target = target(repository, params.text("tag"))?;
    app.engine.tag(name, target).await?;
    Ok(StatusCode::CREATED.into_response())
}

/// The name that an image is to get.
fn target(repository: &str, tag: Option<&str>) -> Result<Reference, Failure> {
    let reference = Reference::parse(repository)?;
    let reference = match tag {
        // With a digest the engine refuses it, in docker's words.
        Some(tag) if reference.digest().is_none() => reference.with_tag(tag)?,
        _ => reference,
    };
    if reference.digest().is_none() && reference.repository().familiar() == "sha256" {
        // `sha256:1` could be the beginning of an ID.
        return Err(Failure::invalid("refusing to create an ambiguous tag using digest algorithm as name"));
    }
    Ok(reference)
}

#[utoipa::path(
    delete,
    path = "/images/{name}",
    tag = "Docker",
    operation_id = "ImageDelete",
    params(
        ("name" = String, Path, description = "A name, an ID, or the beginning of an ID."),
        ("force" = Option<bool>, Query, description = "With all its names, and pins."),
        ("noprune" = Option<bool>, Query, description = "Changes nothing."),
        ("platforms" = Option<Vec<String>>, Query, description = "Only these platforms, which takes `force`."),
    ),
    responses(
        (status = 200, description = "What was untagged and removed.", body = Vec<layer_proto::Removed>),
        (status = "default", description = "What went wrong.", body = layer_proto::ErrorBody),
    )
)]
pub(super) async fn remove(app: &App, name: &str, params: &Params) -> Result<Response, Failure> {
    if name.trim().is_empty() {
        return Err(Failure::invalid("image name cannot be blank"));
    }
    let platforms = params.platforms("platforms")?;
    if !platforms.is_empty() && !params.flag("force") {
        let words = "Content will be removed from all images referencing this variant. Use --force to force delete.";
        return Err(Failure::invalid(words));
    }
    let removed = if platforms.is_empty() {
        app.engine.remove(name, params.flag("force")).await?
    } else {
        app.engine.remove_platforms(name, &platforms).await?
    };
    let removed: Vec<_> = removed.into_iter().map(image_form::removed).collect();
    Ok(answer::found(&removed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_name_is_put_together_as_docker_does() {
        let name = |repository, tag| {
            target(repository, tag).map(|reference| reference.to_string()).map_err(|failure| failure.body.message)
        };
        assert_eq!(name("own", None), Ok("docker.io/library/own".to_owned()));
        assert_eq!(name("lab.test/own", Some("v1")), Ok("lab.test/own:v1".to_owned()));
        assert_eq!(name("own:a", Some("b")), Ok("docker.io/library/own:b".to_owned()));
        assert_eq!(name("own:a", None), Ok("docker.io/library/own:a".to_owned()));
        assert_eq!(name("ok", Some("-bad")), Err("invalid tag format".to_owned()));
        let upper = "invalid reference format: repository name (library/UPPER) must be lowercase";
        assert_eq!(name("UPPER", Some("b")), Err(upper.to_owned()));
        let ambiguous = "refusing to create an ambiguous tag using digest algorithm as name";
        assert_eq!(name("sha256", Some("abc")), Err(ambiguous.to_owned()));
    }
}
