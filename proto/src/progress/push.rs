//! What only pushes say.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::status::PUSHING_TO;
use super::{LayerStatus, ProgressDetail, ProgressLine};
use crate::Descriptor;
use crate::tolerant::null_as_default;

/// The `aux` of the line that follows the line of each tag that was pushed, as docker with its older store has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase", default)]
pub struct Pushed {
    /// The tag.
    #[serde(deserialize_with = "null_as_default")]
    pub tag: String,
    /// What it leads to, `sha256:<hex>`.
    #[serde(deserialize_with = "null_as_default")]
    pub digest: String,
    /// The size of that document in bytes.
    pub size: u64,
}

/// The `aux` of the line that says that a manifest was pushed in place of the index that leads to it, since not all of the index is here.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct IndexReplaced {
    /// Always true.
    pub manifest_pushed_instead_of_index: bool,
    /// The index.
    pub original_index: Descriptor,
    /// The manifest that has the tag at the registry.
    pub selected_manifest: Descriptor,
}

impl ProgressLine {
    /// The first line of a push. `name` is the full name of the repository.
    pub fn pushing(name: &str) -> Self {
        Self::message(format!("{PUSHING_TO}[{name}]"))
    }

    /// The registry has taken a layer over from the repository at `from`. `id` is the beginning of its blob's digest.
    pub fn mounted(id: impl Into<String>, from: &str) -> Self {
        Self { status: Some(format!("Mounted from {from}")), ..Self::layer(id, LayerStatus::Mounted) }
    }

    /// The line of a tag that was pushed.
    pub fn tagged(pushed: &Pushed) -> Self {
        let Pushed { tag, digest, size } = pushed;
        Self::message(format!("{tag}: digest: {digest} size: {size}"))
    }

    /// The same for programs.
    pub fn pushed(pushed: &Pushed) -> Self {
        Self::with_aux(json!({"Tag": pushed.tag, "Digest": pushed.digest, "Size": pushed.size}))
    }

    /// A manifest was pushed in place of an index.
    pub fn index_replaced(original_index: Descriptor, selected_manifest: Descriptor) -> Self {
        let replaced = IndexReplaced { manifest_pushed_instead_of_index: true, original_index, selected_manifest };
        Self::with_aux(serde_json::to_value(replaced).unwrap_or_default())
    }

    /// Not enough of an image is here to push it. The error follows.
    pub fn content_missing(target: &Descriptor) -> Self {
        Self::with_aux(json!({"contentMissing": true, "desc": target}))
    }

    fn with_aux(aux: Value) -> Self {
        Self { progress_detail: Some(ProgressDetail::default()), aux: Some(aux), ..Self::default() }
    }

    /// The data of a tag that was pushed, if the line has it.
    pub fn as_pushed(&self) -> Option<Pushed> {
        let aux = self.aux.as_ref().filter(|aux| aux.is_object())?;
        let pushed = Pushed::deserialize(aux).ok()?;
        (!pushed.tag.is_empty() && !pushed.digest.is_empty()).then_some(pushed)
    }

    /// What was pushed in place of what, if the line says that.
    pub fn as_index_replaced(&self) -> Option<IndexReplaced> {
        IndexReplaced::deserialize(self.aux.as_ref()?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_dockers_to_the_byte() {
        let pushed = Pushed { tag: "p1".into(), digest: "sha256:1c".into(), size: 610 };
        let cases = [
            (
                ProgressLine::pushing("127.0.0.1:5600/private/pushed"),
                r#"{"status":"The push refers to repository [127.0.0.1:5600/private/pushed]"}"#,
            ),
            (
                ProgressLine::layer("b05093807bb0", LayerStatus::Pushed),
                r#"{"status":"Pushed","progressDetail":{},"id":"b05093807bb0"}"#,
            ),
            (
                ProgressLine::layer("b05093807bb0", LayerStatus::LayerAlreadyExists),
                r#"{"status":"Layer already exists","progressDetail":{},"id":"b05093807bb0"}"#,
            ),
            (
                ProgressLine::mounted("cf389d8b5216", "lab/app"),
                r#"{"status":"Mounted from lab/app","progressDetail":{},"id":"cf389d8b5216"}"#,
            ),
            (ProgressLine::tagged(&pushed), r#"{"status":"p1: digest: sha256:1c size: 610"}"#),
            (
                ProgressLine::pushed(&pushed),
                r#"{"progressDetail":{},"aux":{"Digest":"sha256:1c","Size":610,"Tag":"p1"}}"#,
            ),
        ];
        for (line, expected) in cases {
            assert_eq!(String::from_utf8(line.to_bytes()).unwrap(), format!("{expected}\r\n"));
        }
        assert_eq!(ProgressLine::pushed(&pushed).as_pushed(), Some(pushed));
        assert_eq!(ProgressLine::message("x").as_pushed(), None);
    }

    #[test]
    fn what_dockerd_says_of_a_replaced_index_is_read() {
        let line = r#"{"progressDetail":{},"aux":{"manifestPushedInsteadOfIndex":true,
            "originalIndex":{"mediaType":"application/vnd.oci.image.index.v1+json","digest":"sha256:0c","size":2344},
            "selectedManifest":{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:1c","size":610,
            "platform":{"architecture":"amd64","os":"linux"}}}}"#;
        let line: ProgressLine = serde_json::from_str(line).unwrap();
        let replaced = line.as_index_replaced().unwrap();
        assert_eq!((&*replaced.original_index.digest, &*replaced.selected_manifest.digest), ("sha256:0c", "sha256:1c"));
        let again = ProgressLine::index_replaced(replaced.original_index, replaced.selected_manifest);
        assert_eq!(again, line);
        assert_eq!(line.as_pushed(), None);
    }
}
