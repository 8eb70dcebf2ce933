//! `GET /images/json`: the list.

use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use layer_engine::ImageSummary;
use layer_proto::ApiVersion;

use super::{App, image_form};
use crate::answer;
use crate::failure::Failure;
use crate::filters::{Filters, ImageFilter};
use crate::params::Params;

/// The version from which the pattern in `filter` is no longer known; it became the filter `reference`.
const NO_PATTERN: ApiVersion = ApiVersion::new(1, 25);

#[utoipa::path(
    get,
    path = "/images/json",
    tag = "Docker",
    operation_id = "ImageList",
    params(
        ("all" = Option<bool>, Query, description = "Changes nothing: there are no images that only others are made of."),
        ("shared-size" = Option<bool>, Query, description = "Count what images share."),
        ("manifests" = Option<bool>, Query, description = "Tell the platforms of each."),
        ("digests" = Option<bool>, Query, description = "Changes nothing: digests are always told."),
        ("filters" = Option<String>, Query, description = "Filters in JSON, `{\"key\":[\"value\"]}` or `{\"key\":{\"value\":true}}`: `dangling`, `reference`, `label`, `label!`, `before`, `since`, `until`."),
    ),
    responses(
        (status = 200, description = "The images.", body = Vec<layer_proto::ImageSummary>),
        (status = "default", description = "What went wrong.", body = layer_proto::ErrorBody),
    )
)]
pub(super) async fn list(
    State(app): State<App>,
    Extension(version): Extension<ApiVersion>,
    params: Params,
) -> Result<Response, Failure> {
    let mut filters = Filters::parse(params.text("filters"))?;
    if let Some(pattern) = params.text("filter")
        && version < NO_PATTERN
    {
        filters.add("reference", pattern);
    }
    let filter = ImageFilter::new(&filters, &app.engine).await?;
    let images = app.engine.images().await?;
    let shared = if params.flag("shared-size") { Some(app.engine.shared_sizes().await?) } else { None };
    let mut manifests = if params.flag("manifests") { Some(app.engine.all_manifests().await?) } else { None };
    let form = |image: ImageSummary| {
        let id = image.id;
        let mut form = image_form::summary(image);
        if let Some(manifests) = &mut manifests {
            let own = manifests.remove(&id).unwrap_or_default();
            form.manifests = Some(own.into_iter().map(image_form::manifest).collect());
        }
        if let Some(shared) = &shared {
            // One that has come meanwhile shares what nobody has counted.
            form.shared_size = shared.get(&id).and_then(|bytes| i64::try_from(*bytes).ok()).unwrap_or(0);
        }
        form.at(version)
    };
    let images: Vec<_> = images.into_iter().filter_map(|image| filter.narrow(image)).map(form).collect();
    Ok(answer::found(&images))
}
