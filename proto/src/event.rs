//! What happened to images, as `GET /events` tells it: one object a line.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::tolerant::null_as_default;

/// Something that happened.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct Event {
    /// The same as `action`, for clients of before 1.22.
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "null_as_default")]
    pub status: String,
    /// The same as the actor's ID, likewise; absent where that is empty.
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "null_as_default")]
    pub id: String,
    /// What kind of thing it happened to: always `image` here.
    #[serde(rename = "Type", deserialize_with = "null_as_default")]
    pub kind: String,
    /// What happened.
    #[serde(rename = "Action", deserialize_with = "null_as_default")]
    pub action: String,
    /// To what.
    #[serde(rename = "Actor", deserialize_with = "null_as_default")]
    pub actor: Actor,
    /// `local`: on this machine.
    #[serde(deserialize_with = "null_as_default")]
    pub scope: String,
    /// When, in seconds since 1970.
    pub time: i64,
    /// When, in nanoseconds since 1970.
    #[serde(rename = "timeNano")]
    pub time_nano: i64,
}

/// What something happened to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default, rename_all = "PascalCase")]
pub struct Actor {
    /// The name of an image that was pulled or pushed, the ID of any other; empty for a prune.
    #[serde(rename = "ID", deserialize_with = "null_as_default")]
    pub id: String,
    /// More about it: the image's labels, and `name`.
    #[serde(deserialize_with = "null_as_default")]
    pub attributes: BTreeMap<String, String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_written_as_docker_writes_it() {
        let text = concat!(
            r#"{"status":"pull","id":"busybox:latest","Type":"image","Action":"pull","#,
            r#""Actor":{"ID":"busybox:latest","Attributes":{"name":"busybox"}},"#,
            r#""scope":"local","time":1795462482,"timeNano":1795462482755606241}"#
        );
        let event: Event = serde_json::from_str(text).unwrap();
        assert_eq!(event.actor.attributes["name"], "busybox");
        assert_eq!(serde_json::to_string(&event).unwrap(), text);
        let prune = Event { status: "prune".to_owned(), id: String::new(), ..event };
        assert!(serde_json::to_string(&prune).unwrap().starts_with(r#"{"status":"prune","Type":"image","#));
    }
}
