//! The query of a request, read as docker reads it.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use axum::extract::{FromRequestParts, Query};
use http::Uri;
use http::request::Parts;
use layer_oci::Platform;

use crate::failure::Failure;

/// The parameters in their order. Of several with one name the first counts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Params(Vec<(String, String)>);

impl Params {
    fn new(uri: &Uri) -> Self {
        // Reading pairs can't fail: what is no proper encoding stands for itself.
        Self(Query::try_from_uri(uri).map_or_else(|_| Vec::new(), |Query(pairs)| pairs))
    }

    /// A parameter; one that is empty counts as not given.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        let (_, value) = self.0.iter().find(|(key, _)| key == name)?;
        (!value.is_empty()).then_some(value)
    }

    /// All parameters of one name, in their order; empty ones count as not given.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        self.0.iter().filter(|(key, value)| key == name && !value.is_empty()).map(|(_, value)| value.as_str()).collect()
    }

    /// Whether a parameter is there at all, even empty.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(key, _)| key == name)
    }

    /// A parameter that says yes or no. Docker takes everything for a yes that it doesn't know as a no.
    pub(crate) fn flag(&self, name: &str) -> bool {
        self.text(name).is_some_and(|value| {
            let value = value.trim().to_ascii_lowercase();
            !matches!(&*value, "" | "0" | "no" | "false" | "none")
        })
    }

    /// A parameter of some form.
    pub(crate) fn parsed<T: FromStr<Err: fmt::Display>>(&self, name: &str) -> Result<Option<T>, Failure> {
        let Some(text) = self.text(name) else { return Ok(None) };
        text.parse().map(Some).map_err(|error| Failure::invalid(format!("the parameter `{name}`: {error}")))
    }

    /// The platform: as people write it, `os[/architecture[/variant]]`, or as an object in JSON.
    pub(crate) fn platform(&self) -> Result<Option<Platform>, Failure> {
        self.text("platform").map(platform).transpose()
    }

    /// The platforms under a name, where several may be given.
    pub(crate) fn platforms(&self, name: &str) -> Result<Vec<Platform>, Failure> {
        self.all(name).into_iter().map(platform).collect()
    }
}

fn platform(text: &str) -> Result<Platform, Failure> {
    if !text.trim_start().starts_with('{') {
        return Ok(text.parse()?);
    }
    let platform: Platform =
        serde_json::from_str(text).map_err(|error| Failure::invalid(format!("failed to parse platform: {error}")))?;
    if platform.os.is_empty() || platform.architecture.is_empty() {
        return Err(Failure::invalid("both OS and Architecture must be provided"));
    }
    Ok(platform)
}

impl<S: Sync> FromRequestParts<S> for Params {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        Ok(Self::new(&parts.uri))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(query: &str) -> Params {
        Params::new(&Uri::try_from(format!("/x?{query}")).unwrap())
    }

    #[test]
    fn texts_are_decoded_and_the_first_counts() {
        let params = params("fromImage=h%3A1%2Fa+b&tag=&tag=x&empty&bad=%zz%ff");
        assert_eq!(params.text("fromImage"), Some("h:1/a b"));
        assert_eq!(params.text("tag"), None);
        assert_eq!(params.text("none"), None);
        assert!(params.has("empty") && params.has("tag") && !params.has("none"));
        assert!(params.text("bad").is_some());
    }

    #[test]
    fn everything_but_a_no_is_a_yes() {
        for no in ["", "0", "no", "No", "FALSE", "none", "+0+"] {
            assert!(!params(&format!("force={no}")).flag("force"), "{no}");
        }
        for yes in ["1", "true", "banana", "2"] {
            assert!(params(&format!("force={yes}")).flag("force"), "{yes}");
        }
        assert!(!params("").flag("force"));
    }

    #[test]
    fn a_platform_has_two_spellings() {
        let platform = |query: &str| params(query).platform().map(|platform| platform.map(|it| it.to_string()));
        assert_eq!(platform("platform=linux/arm64"), Ok(Some("linux/arm64".to_owned())));
        let json = "platform=%7B%22os%22%3A%20%22linux%22%2C%20%22architecture%22%3A%20%22arm%22%2C%22variant%22%3A%22v7%22%7D";
        assert_eq!(platform(json), Ok(Some("linux/arm/v7".to_owned())));
        assert_eq!(platform("x=1"), Ok(None));
        let several = params("platform=linux/arm64&platform=&platform=linux/s390x").platforms("platform").unwrap();
        assert_eq!(several.iter().map(ToString::to_string).collect::<Vec<_>>(), ["linux/arm64", "linux/s390x"]);
        for bad in ["platform=foobar", "platform=a/b/c/d", "platform=%7B", "platform=%7B%22os%22:1%7D"] {
            assert_eq!(platform(bad).unwrap_err().status.as_u16(), 400, "{bad}");
        }
    }
}
