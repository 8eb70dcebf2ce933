//! `GET /system/df`: what the store takes on the disk, as docker asks for it.

use serde::{Deserialize, Serialize};

use crate::ImageSummary;
use crate::image::Empty;

/// What is there of each kind. A kind that was not asked for is `null`; of kinds that layerd hasn't the list is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase", default)]
pub struct DiskUsage {
    /// The bytes of all images, each layer once.
    pub layers_size: u64,
    /// The images, with their sizes on the disk.
    pub images: Option<Vec<ImageSummary>>,
    /// Containers.
    pub containers: Option<Vec<Empty>>,
    /// Volumes.
    pub volumes: Option<Vec<Empty>>,
    /// The cache of a builder.
    pub build_cache: Option<Vec<Empty>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_asked_for_is_null() {
        let usage = DiskUsage { images: Some(Vec::new()), ..DiskUsage::default() };
        let text = r#"{"LayersSize":0,"Images":[],"Containers":null,"Volumes":null,"BuildCache":null}"#;
        assert_eq!(serde_json::to_string(&usage).unwrap(), text);
        assert_eq!(serde_json::from_str::<DiskUsage>(text).unwrap(), usage);
    }
}
