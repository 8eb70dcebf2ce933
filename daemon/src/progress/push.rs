//! From the events of a push to the lines that docker's clients read.

use bytes::Bytes;
use layer_engine::{Kind, PushCause, PushError, PushEvent, PushPhase, chain};
use layer_proto::progress::Pushed;
use layer_proto::{LayerStatus, ProgressLine};

use super::retrying_layer;
use crate::routes::descriptor;

/// The lines that an event is told in, each with its end.
pub(crate) fn lines(event: &PushEvent) -> Bytes {
    let mut bytes = Vec::with_capacity(256);
    for line in told(event) {
        bytes.extend(line.to_bytes());
    }
    bytes.into()
}

fn told(event: &PushEvent) -> Vec<ProgressLine> {
    match event {
        PushEvent::Pushing(repository) => vec![ProgressLine::pushing(&repository.to_string())],
        PushEvent::Layer { blob, phase } => vec![layer(blob.0.short(), phase)],
        PushEvent::ManifestInsteadOfIndex { index, manifest } => {
            vec![ProgressLine::index_replaced(descriptor(index), descriptor(manifest))]
        }
        PushEvent::ContentMissing(target) => vec![ProgressLine::content_missing(&descriptor(target))],
        PushEvent::Tagged { reference, digest, size } => {
            let tag = reference.tag().unwrap_or_default().to_owned();
            let pushed = Pushed { tag, digest: digest.to_string(), size: *size };
            vec![ProgressLine::tagged(&pushed), ProgressLine::pushed(&pushed)]
        }
        PushEvent::Failed(error) => vec![ProgressLine::error(words(error), error.hint())],
        // The end of the stream says it; and what may be added is told by who adds it.
        _ => Vec::new(),
    }
}

fn layer(id: String, phase: &PushPhase) -> ProgressLine {
    match phase {
        PushPhase::Pushing { done, total } => ProgressLine::layer_progress(id, LayerStatus::Pushing, *done, *total),
        PushPhase::Retrying { seconds, reason } => retrying_layer(id, *seconds, reason),
        PushPhase::Exists => ProgressLine::layer(id, LayerStatus::LayerAlreadyExists),
        PushPhase::Mounted { from } => ProgressLine::mounted(id, from),
        PushPhase::Pushed => ProgressLine::layer(id, LayerStatus::Pushed),
        _ => ProgressLine::layer(id, LayerStatus::Waiting),
    }
}

/// Why a push failed: in docker's words where programs look for them.
fn words(error: &PushError) -> String {
    let name = error.reference.familiar();
    match (&*error.cause, error.kind()) {
        (PushCause::NoTag, _) => format!("tag does not exist: {name}"),
        (PushCause::NoTags, _) => format!("An image does not exist locally with the tag: {name}"),
        (PushCause::NoPlatform { platform }, _) => {
            format!("image with reference {name} was found but does not provide the specified platform ({platform})")
        }
        (cause, Kind::Unauthorized | Kind::Denied) => {
            format!("push access denied, repository does not exist or may require authorization: {}", chain(cause))
        }
        _ => chain(error),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use layer_digest::{BlobId, Digest};
    use layer_oci::{Descriptor, Platform};
    use layer_reference::{Reference, Repository};

    use super::*;

    fn text(event: &PushEvent) -> String {
        String::from_utf8(lines(event).to_vec()).unwrap()
    }

    fn at(phase: PushPhase) -> String {
        text(&PushEvent::Layer { blob: BlobId(Digest::sha256(b"")), phase })
    }

    #[test]
    fn the_story_of_a_layer_is_told_in_dockers_words() {
        let line =
            |status: &str| format!("{{\"status\":\"{status}\",\"progressDetail\":{{}},\"id\":\"e3b0c44298fc\"}}\r\n");
        assert_eq!(at(PushPhase::Waiting), line("Waiting"));
        assert_eq!(at(PushPhase::Exists), line("Layer already exists"));
        assert_eq!(at(PushPhase::Pushed), line("Pushed"));
        assert_eq!(at(PushPhase::Mounted { from: "lab/app".to_owned() }), line("Mounted from lab/app"));
        assert_eq!(
            at(PushPhase::Retrying { seconds: 2, reason: "503".to_owned() }),
            line("Retrying in 2 seconds (503)")
        );
        let pushing = at(PushPhase::Pushing { done: 2_226_327, total: 2_226_327 });
        assert!(
            pushing.contains("\"Pushing\",\"progressDetail\":{\"current\":2226327,\"total\":2226327}"),
            "{pushing}"
        );
    }

    #[test]
    fn the_first_and_last_lines_name_what_goes_where() {
        let repository = Repository::parse("busybox").unwrap();
        assert_eq!(
            text(&PushEvent::Pushing(repository)),
            "{\"status\":\"The push refers to repository [docker.io/library/busybox]\"}\r\n"
        );
        let (reference, digest) = (Reference::parse("busybox:1").unwrap(), Digest::sha256(b""));
        let told = text(&PushEvent::Tagged { reference, digest, size: 610 });
        let first = format!("{{\"status\":\"1: digest: {digest} size: 610\"}}");
        assert_eq!(told.split_terminator("\r\n").next(), Some(&*first));
        assert!(told.contains("\"aux\":{"), "{told}");
        assert_eq!(text(&PushEvent::Done), "");
    }

    #[test]
    fn an_index_that_is_not_here_as_a_whole_is_told() {
        let index = Descriptor::new("application/vnd.oci.image.index.v1+json", Digest::sha256(b"i"), 2344);
        let mut manifest = Descriptor::new("application/vnd.oci.image.manifest.v1+json", Digest::sha256(b"m"), 610);
        manifest.platform = Some("linux/amd64".parse().unwrap());
        let told =
            text(&PushEvent::ManifestInsteadOfIndex { index: Box::new(index.clone()), manifest: Box::new(manifest) });
        let value: serde_json::Value = serde_json::from_str(told.trim()).unwrap();
        assert_eq!(value["aux"]["manifestPushedInsteadOfIndex"], true);
        assert_eq!(value["aux"]["originalIndex"]["size"], 2344);
        let platform = serde_json::json!({"architecture": "amd64", "os": "linux"});
        assert_eq!(value["aux"]["selectedManifest"]["platform"], platform);
        assert!(text(&PushEvent::ContentMissing(index)).contains("\"contentMissing\":true"));
    }

    #[test]
    fn a_failure_is_told_in_dockers_words_where_programs_look_for_them() {
        let failed = |cause| {
            let error = PushError { reference: Reference::parse("lab.test/a:1").unwrap(), cause: Box::new(cause) };
            text(&PushEvent::Failed(Arc::new(error)))
        };
        let platform: Platform = "linux/arm64".parse().unwrap();
        for (cause, words) in [
            (PushCause::NoTag, "{\"message\":\"tag does not exist: lab.test/a:1\"}"),
            (PushCause::NoTags, "An image does not exist locally with the tag: lab.test/a:1"),
            (PushCause::NoPlatform { platform }, "does not provide the specified platform (linux/arm64)"),
            (PushCause::Missing { missing: 2 }, "push `lab.test/a:1`: 2 of its manifests are neither here"),
        ] {
            let told = failed(cause);
            assert!(told.contains(words), "{told}");
        }
    }
}
