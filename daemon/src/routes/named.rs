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
    let Some((name, word)) = path.name_and_word() else { return Ok(page_not_found()) };
    match (&method, word) {
        (&Method::GET, "json") => inspect(&app, name, &params, version).await,
        (&Method::GET, "history") => history(&app, name, &params).await,
        (&Method::POST, "tag") => tag(&app, name, &params).await,
        (&Method::POST, "push") => push::push(&app, name, &params, &headers),
        (&Method::GET, "get") => archives::saved(&app, &[name.to_owned()], &params).await,
        (&Method::GET, "attestations") => attestations(&app, name, &params).await,
        _ => Ok(page_not_found()),
    }
}

async fn inspect(app: &App, name: &str, params: &Params, version: ApiVersion) -> Result<Response, Failure> {
    if params.flag("manifests") && params.text("platform").is_some() {
        return Err(Failure::invalid("conflicting options: manifests and platform options cannot both be set"));
    }
    let image = app.engine.image(name, params.platform()?.as_ref()).await?;
    let mut form = image_form::inspect(image);
    if params.flag("manifests") {
        let manifests = app.engine.manifests(name).await?;
        form.manifests = Some(manifests.into_iter().map(image_form::manifest).collect());
    }
    Ok(answer::found(&form.at(version)))
}

async fn history(app: &App, name: &str, params: &Params) -> Result<Response, Failure> {
    let steps = app.engine.history(name, params.platform()?.as_ref()).await?;
    let steps: Vec<_> = steps.into_iter().map(image_form::history).collect();
    Ok(answer::found(&steps))
}

async fn attestations(app: &App, name: &str, params: &Params) -> Result<Response, Failure> {
    let platforms = params.platforms("platform")?;
    if platforms.len() > 1 {
        return Err(Failure::invalid("only one platform can be given"));
    }
    let types: Vec<String> = params.all("type").into_iter().map(str::to_owned).collect();
    let found = app.engine.attestations(name, platforms.first(), &types, params.flag("statement")).await?;
    let found: Vec<_> = found.into_iter().map(image_form::attestation).collect();
    Ok(answer::found(&found))
}

async fn tag(app: &App, name: &str, params: &Params) -> Result<Response, Failure> {
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

async fn remove(app: &App, name: &str, params: &Params) -> Result<Response, Failure> {
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
