//! The filters of a prune.

use jiff::{Timestamp, Zoned};
use layer_engine::{LabelCondition, PruneRequest};

use super::{Filters, boolean, invalid, moment};
use crate::failure::Failure;

impl Filters {
    /// Understands them: `dangling`, a yes unless it is told, `until`, `label` and `label!`.
    pub(crate) fn prune(&self) -> Result<PruneRequest, Failure> {
        let mut request = PruneRequest::default();
        for (name, values) in &self.0 {
            match &**name {
                "dangling" => request.all = !boolean(values).ok_or_else(|| invalid(name, values))?,
                "until" => {
                    let now = Zoned::now();
                    for text in values {
                        let moment = moment::parse(text, &now).ok_or_else(|| invalid(name, values))?;
                        request.until = Some(request.until.map_or(moment, |until: Timestamp| until.min(moment)));
                    }
                }
                "label" => request.labels.extend(values.iter().map(|text| LabelCondition::parse(text, true))),
                "label!" => request.labels.extend(values.iter().map(|text| LabelCondition::parse(text, false))),
                _ => return Err(Failure::invalid(format!("invalid filter '{name}'"))),
            }
        }
        Ok(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prune(text: &str) -> Result<PruneRequest, String> {
        Filters::parse(Some(text)).unwrap().prune().map_err(|failure| failure.body.message)
    }

    #[test]
    fn only_what_has_no_name_goes_unless_that_is_told() {
        assert!(!prune("{}").unwrap().all);
        assert!(!prune(r#"{"dangling":["true"]}"#).unwrap().all);
        assert!(prune(r#"{"dangling":{"false":true}}"#).unwrap().all);
        assert!(prune(r#"{"dangling":["0"]}"#).unwrap().all);
    }

    #[test]
    fn all_conditions_are_kept() {
        let request = prune(r#"{"until":["2021-01-02Z","2022-01-02Z"],"label":["a=b"],"label!":["c"]}"#).unwrap();
        assert_eq!(request.until.unwrap().to_string(), "2021-01-02T00:00:00Z");
        assert_eq!(request.labels, [LabelCondition::parse("a=b", true), LabelCondition::parse("c", false)]);
    }

    #[test]
    fn what_makes_no_sense_is_refused_in_dockers_words() {
        for (text, message) in [
            (r#"{"nonsense":["1"]}"#, "invalid filter 'nonsense'"),
            (r#"{"reference":["x"]}"#, "invalid filter 'reference'"),
            (r#"{"dangling":["maybe"]}"#, "invalid filter 'dangling=[maybe]'"),
            (r#"{"until":["yesterday"]}"#, "invalid filter 'until=[yesterday]'"),
        ] {
            assert_eq!(prune(text), Err(message.to_owned()));
        }
    }
}
