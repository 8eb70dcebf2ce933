//! Which of the repositories that a search finds are told.

use layer_proto::SearchResult;

use super::{Filters, boolean, invalid};
use crate::failure::Failure;

/// All conditions must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SearchFilter {
    official: Option<bool>,
    /// Docker Hub has called none so for years, whatever is asked.
    automated: Option<bool>,
    /// The least number of stars.
    stars: u64,
}

impl SearchFilter {
    /// Understands the filters of a search.
    pub(crate) fn new(filters: &Filters) -> Result<Self, Failure> {
        let mut filter = Self::default();
        for (name, values) in &filters.0 {
            let shown = || invalid(name, values);
            match &**name {
                "is-official" => filter.official = Some(boolean(values).ok_or_else(shown)?),
                "is-automated" => filter.automated = Some(boolean(values).ok_or_else(shown)?),
                "stars" => {
                    for value in values {
                        filter.stars = filter.stars.max(value.parse().map_err(|_| shown())?);
                    }
                }
                _ => return Err(Failure::invalid(format!("invalid filter '{name}'"))),
            }
        }
        Ok(filter)
    }

    /// Whether a repository is told.
    pub(crate) fn takes(&self, found: &SearchResult) -> bool {
        self.official.is_none_or(|wanted| wanted == found.is_official)
            && self.automated.is_none_or(|wanted| wanted == found.is_automated)
            && found.star_count >= self.stars
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(filters: &str) -> Result<Vec<&'static str>, String> {
        let filter = Filters::parse(Some(filters)).and_then(|filters| SearchFilter::new(&filters));
        let filter = filter.map_err(|failure| failure.body.message)?;
        let all = [("plain", 5, false), ("own", 70, false), ("blessed", 60, true)];
        let found = |(name, star_count, is_official): (&str, u64, bool)| SearchResult {
            name: name.to_owned(),
            star_count,
            is_official,
            ..SearchResult::default()
        };
        Ok(all.into_iter().filter(|one| filter.takes(&found(*one))).map(|(name, ..)| name).collect())
    }

    #[test]
    fn repositories_are_chosen_as_docker_does() {
        assert_eq!(taken("{}").unwrap(), ["plain", "own", "blessed"]);
        assert_eq!(taken(r#"{"is-official":["true"]}"#).unwrap(), ["blessed"]);
        assert_eq!(taken(r#"{"is-official":{"false":true}}"#).unwrap(), ["plain", "own"]);
        assert_eq!(taken(r#"{"is-automated":["true"]}"#).unwrap(), [""; 0]);
        assert_eq!(taken(r#"{"stars":["6","61"]}"#).unwrap(), ["own"]);
        assert_eq!(taken(r#"{"stars":["many"]}"#).unwrap_err(), "invalid filter 'stars=[many]'");
        assert_eq!(taken(r#"{"is-official":["maybe"]}"#).unwrap_err(), "invalid filter 'is-official=[maybe]'");
        assert_eq!(taken(r#"{"nope":["x"]}"#).unwrap_err(), "invalid filter 'nope'");
    }
}
