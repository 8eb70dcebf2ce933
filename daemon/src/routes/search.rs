//! `GET /images/search`: asks a registry which repositories it has to offer.

use axum::extract::State;
use axum::response::Response;
use http::HeaderMap;
use layer_engine::{FoundRepository, SearchRequest};
use layer_proto::SearchResult;
use layer_reference::Repository;

use super::App;
use crate::failure::Failure;
use crate::filters::{Filters, SearchFilter};
use crate::params::Params;
use crate::{answer, registry_auth};

/// How many repositories are told when nobody says.
const DEFAULT_LIMIT: u32 = 25;

/// Docker Hub's own repositories are found without this in front.
const OFFICIAL: &str = "library/";

#[utoipa::path(
    get,
    path = "/images/search",
    tag = "Docker",
    operation_id = "ImageSearch",
    params(
        ("term" = String, Query, description = "What is looked for; with a registry in front, there."),
        ("limit" = Option<u32>, Query, description = "The most that are told: 25 unless said otherwise, 100 at most."),
        ("filters" = Option<String>, Query, description = "Filters in JSON, `{\"key\":[\"value\"]}` or `{\"key\":{\"value\":true}}`: `is-official`, `is-automated`, `stars`."),
        ("X-Registry-Auth" = Option<String>, Header, description = "A login in JSON, in URL-safe base64."),
    ),
    responses(
        (status = 200, description = "The repositories that were found, best first.", body = Vec<SearchResult>),
        (status = "default", description = "What went wrong.", body = layer_proto::ErrorBody),
    )
)]
pub(super) async fn search(State(app): State<App>, params: Params, headers: HeaderMap) -> Result<Response, Failure> {
    let limit = limit(params.text("limit"))?;
    let filter = SearchFilter::new(&Filters::parse(params.text("filters"))?)?;
    let (registry, term) = place_and_term(params.text("term").unwrap_or_default())?;
    let credentials = registry_auth::credentials(&headers).unwrap_or_default();
    let found = app.engine.search(&SearchRequest { registry, term, limit }, &credentials).await?;
    let found: Vec<_> = found.into_iter().map(form).filter(|one| filter.takes(one)).collect();
    Ok(answer::found(&found))
}

fn form(found: FoundRepository) -> SearchResult {
    let FoundRepository { name, description, star_count, is_official, is_automated } = found;
    SearchResult { star_count, is_official, name, is_automated, description }
}

fn limit(text: Option<&str>) -> Result<u32, Failure> {
    let limit: i64 = text.map_or(Ok(0), str::parse).map_err(|_| Failure::invalid("invalid limit specified"))?;
    match limit {
        0 => Ok(DEFAULT_LIMIT),
        1..=100 => Ok(u32::try_from(limit).unwrap_or(DEFAULT_LIMIT)),
        _ if limit < 0 => Err(Failure::invalid("invalid limit specified")),
        _ => Err(Failure::invalid(format!("limit {limit} is outside the range of [1, 100]"))),
    }
}

/// A term may have a registry in front, as names of images do.
fn place_and_term(term: &str) -> Result<(Option<String>, String), Failure> {
    if term.contains("://") {
        let shown = term.split_once("://").map_or(term, |(_, rest)| rest);
        return Err(Failure::invalid(format!(
            "invalid repository name: repository name ({shown}) should not have a scheme"
        )));
    }
    match term.split_once('/') {
        Some((host, rest)) if host.contains(['.', ':']) || host == "localhost" => {
            let domain = Repository::parse(&format!("{host}/x")).map_err(Failure::from)?.domain().to_owned();
            let rest = if domain == "docker.io" { rest.strip_prefix(OFFICIAL).unwrap_or(rest) } else { rest };
            Ok((Some(domain), rest.to_owned()))
        }
        _ => Ok((None, term.strip_prefix(OFFICIAL).unwrap_or(term).to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_term_may_name_its_registry() {
        let parsed = |term| place_and_term(term).map_err(|failure| failure.body.message);
        let at = |host: &str, term: &str| Ok((Some(host.to_owned()), term.to_owned()));
        assert_eq!(parsed("nginx"), Ok((None, "nginx".to_owned())));
        assert_eq!(parsed("library/nginx"), Ok((None, "nginx".to_owned())));
        assert_eq!(parsed("acme/app"), Ok((None, "acme/app".to_owned())));
        assert_eq!(parsed("r.lab:5000/acme/app"), at("r.lab:5000", "acme/app"));
        assert_eq!(parsed("localhost/app"), at("localhost", "app"));
        assert_eq!(parsed("docker.io/library/nginx"), at("docker.io", "nginx"));
        assert_eq!(parsed(""), Ok((None, String::new())));
        assert!(parsed("https://r.lab/app").unwrap_err().ends_with("(r.lab/app) should not have a scheme"));
        assert!(parsed("a b:/x").is_err());
    }

    #[test]
    fn a_limit_is_from_one_to_a_hundred() {
        let read = |text| limit(text).map_err(|failure| failure.body.message);
        assert_eq!([None, Some("0"), Some("1"), Some("100")].map(|text| read(text).unwrap()), [25, 25, 1, 100]);
        assert_eq!(read(Some("1000")).unwrap_err(), "limit 1000 is outside the range of [1, 100]");
        for text in ["-1", "x", "1.5", "99999999999999999999"] {
            assert_eq!(read(Some(text)).unwrap_err(), "invalid limit specified", "{text}");
        }
    }
}
