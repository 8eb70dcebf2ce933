//! `POST /images/prune`: what is gone.

use serde::{Deserialize, Serialize};

use crate::Removed;

/// What a prune did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase", default)]
pub struct PruneReport {
    /// Names and images that are gone; `null` when none is.
    pub images_deleted: Option<Vec<Removed>>,
    /// The bytes that are free now.
    pub space_reclaimed: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_null_and_something_is_told_in_order() {
        let text = r#"{"ImagesDeleted":null,"SpaceReclaimed":0}"#;
        assert_eq!(serde_json::to_string(&PruneReport::default()).unwrap(), text);
        assert_eq!(serde_json::from_str::<PruneReport>(text).unwrap(), PruneReport::default());
        let removed = vec![Removed::Untagged("a:1".into()), Removed::Deleted("sha256:0c".into())];
        let report = PruneReport { images_deleted: Some(removed), space_reclaimed: 976 };
        let text = r#"{"ImagesDeleted":[{"Untagged":"a:1"},{"Deleted":"sha256:0c"}],"SpaceReclaimed":976}"#;
        assert_eq!(serde_json::to_string(&report).unwrap(), text);
        assert_eq!(serde_json::from_str::<PruneReport>(text).unwrap(), report);
    }
}
