//! Which events are told: docker's filters.

use std::collections::BTreeMap;

use layer_proto::Event;
use layer_reference::Reference;

use layer_engine::LabelCondition;

use super::Filters;

/// Which events are told. All conditions must hold; of the values of one, one.
#[derive(Clone, Debug, Default)]
pub(crate) struct EventFilter(Vec<Condition>);

#[derive(Clone, Debug)]
enum Condition {
    /// What happened.
    Action(Vec<String>),
    /// What kind of thing it happened to.
    Kind(Vec<String>),
    /// Where: `local` or `swarm`.
    Scope(Vec<String>),
    /// Names or IDs of images; a name without its tag means all of them.
    Image(Vec<String>),
    /// Labels, all of which must be there.
    Labels(Vec<LabelCondition>),
    /// Things of a kind that there are no events of here.
    Elsewhere,
}

impl EventFilter {
    /// Understands the filters. Like docker, it passes over those that it doesn't know.
    pub(crate) fn new(filters: &Filters) -> Self {
        let condition = |(name, values): (&String, &std::collections::BTreeSet<String>)| {
            let texts = || values.iter().cloned().collect();
            Some(match name.as_str() {
                "event" => Condition::Action(texts()),
                "type" => Condition::Kind(texts()),
                "scope" => Condition::Scope(texts()),
                "image" => Condition::Image(texts()),
                "label" => Condition::Labels(values.iter().map(|text| LabelCondition::parse(text, true)).collect()),
                "container" | "volume" | "network" | "plugin" | "service" | "node" | "secret" | "config" => {
                    Condition::Elsewhere
                }
                _ => return None,
            })
        };
        Self(filters.0.iter().filter(|(_, values)| !values.is_empty()).filter_map(condition).collect())
    }

    /// Whether an event is asked for.
    pub(crate) fn takes(&self, event: &Event) -> bool {
        self.0.iter().all(|condition| match condition {
            Condition::Action(actions) => actions.contains(&event.action),
            Condition::Kind(kinds) => kinds.contains(&event.kind),
            Condition::Scope(scopes) => scopes.contains(&event.scope),
            Condition::Image(names) => is_of(event, names),
            Condition::Labels(labels) => {
                let attributes: &BTreeMap<String, String> = &event.actor.attributes;
                labels.iter().all(|label| label.holds(Some(attributes)))
            }
            Condition::Elsewhere => false,
        })
    }
}

/// Whether an event happened to one of these images: by ID, by name, or by name without the tag.
fn is_of(event: &Event, names: &[String]) -> bool {
    let name = event.actor.attributes.get("name");
    [Some(&event.actor.id), name].into_iter().flatten().any(|known| {
        let repository = Reference::parse(known).ok().map(|reference| reference.repository().familiar());
        names.iter().any(|name| name == known || Some(name) == repository.as_ref())
    })
}

#[cfg(test)]
mod tests {
    use layer_proto::Actor;

    use super::*;

    fn takes(filters: &str) -> bool {
        let attributes = [("name", "lab.test/a/app"), ("stage", "beta")];
        let event = Event {
            kind: "image".into(),
            action: "pull".into(),
            actor: Actor {
                id: "lab.test/a/app:1".into(),
                attributes: attributes.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
            },
            scope: "local".into(),
            ..Event::default()
        };
        EventFilter::new(&Filters::parse(Some(filters)).unwrap()).takes(&event)
    }

    #[test]
    fn conditions_must_all_hold_and_values_need_not() {
        for filters in [
            "{}",
            r#"{"event":["pull"]}"#,
            r#"{"event":{"pull":true,"push":true},"type":["image"]}"#,
            r#"{"image":["lab.test/a/app"]}"#,
            r#"{"image":["lab.test/a/app:1"]}"#,
            r#"{"label":["stage=beta","name"]}"#,
            r#"{"scope":["local"],"nonsense":["1"],"event":[]}"#,
        ] {
            assert!(takes(filters), "{filters}");
        }
        for filters in [
            r#"{"event":["push"]}"#,
            r#"{"event":["pull"],"type":["container"]}"#,
            r#"{"image":["lab.test/a"]}"#,
            r#"{"image":["lab.test/a/app:2"]}"#,
            r#"{"label":["stage=beta","other"]}"#,
            r#"{"container":["x"]}"#,
            r#"{"scope":["swarm"]}"#,
        ] {
            assert!(!takes(filters), "{filters}");
        }
    }
}
