//! From the events of a pull to the lines that docker's clients read.

pub(crate) mod push;

use bytes::Bytes;
use layer_engine::{Event, Phase, chain};
use layer_proto::{LayerStatus, ProgressLine, Pulled};

use crate::status;

/// How much of a registry's reason fits on a line that is drawn over again.
const MAX_REASON: usize = 160;

/// The lines that an event is told in, each with its end.
pub(crate) fn lines(event: &Event) -> Bytes {
    let mut bytes = Vec::with_capacity(256);
    for line in told(event) {
        bytes.extend(line.to_bytes());
    }
    bytes.into()
}

fn told(event: &Event) -> Vec<ProgressLine> {
    match event {
        Event::Retrying { reference, seconds, reason } => {
            // Without numbers or an empty detail, so that docker's client prints it on a line of its own.
            let status = retrying(*seconds, reason);
            vec![ProgressLine { id: Some(reference.tag_or_canonical()), ..ProgressLine::message(status) }]
        }
        Event::Pulling(reference) => {
            vec![ProgressLine::pulling(reference.repository().path(), reference.tag_or_canonical())]
        }
        Event::Warning(text) => vec![ProgressLine::message(format!("WARNING: {text}"))],
        Event::Layer { blob, phase } => vec![layer(blob.0.short(), phase)],
        Event::Done(outcome) => vec![
            ProgressLine::digest(&outcome.image.to_string()),
            ProgressLine::done(&outcome.reference.familiar(), outcome.updated),
            ProgressLine::pulled(&Pulled { id: outcome.image.to_string(), reference: outcome.reference.to_string() }),
        ],
        Event::Failed(error) => {
            vec![ProgressLine::error(chain(&**error), error.hint()).with_login(status::login_wanted(error))]
        }
    }
}

/// The line of a layer that is that far.
pub(crate) fn layer(id: String, phase: &Phase) -> ProgressLine {
    match phase {
        Phase::Queued => ProgressLine::layer(id, LayerStatus::PullingFsLayer),
        Phase::Waiting => ProgressLine::layer(id, LayerStatus::Waiting),
        Phase::Fetching { done, total } => ProgressLine::layer_progress(id, LayerStatus::Downloading, *done, *total),
        Phase::Retrying { seconds, reason } => retrying_layer(id, *seconds, reason),
        Phase::Fetched => ProgressLine::layer(id, LayerStatus::DownloadComplete),
        Phase::Unpacking { done, total } => ProgressLine::layer_progress(id, LayerStatus::Extracting, *done, *total),
        Phase::Exists => ProgressLine::layer(id, LayerStatus::AlreadyExists),
        Phase::Complete => ProgressLine::layer(id, LayerStatus::PullComplete),
    }
}

/// When it is tried again, and why.
fn retrying(seconds: u64, reason: &str) -> String {
    // "0 seconds" would look like an error of ours.
    let status = LayerStatus::Retrying { seconds: seconds.max(1) };
    let reason: String = reason.chars().take(MAX_REASON).collect();
    if reason.is_empty() { status.to_string() } else { format!("{status} ({reason})") }
}

/// The line of a layer that is to be tried again.
fn retrying_layer(id: String, seconds: u64, reason: &str) -> ProgressLine {
    let line = ProgressLine::layer(id, LayerStatus::Retrying { seconds });
    ProgressLine { status: Some(retrying(seconds, reason)), ..line }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use layer_digest::{BlobId, Digest, ImageId};
    use layer_engine::{Outcome, PullError};
    use layer_oci::{DocumentError, Platform};
    use layer_reference::Reference;

    use super::*;

    fn text(event: &Event) -> String {
        String::from_utf8(lines(event).to_vec()).unwrap()
    }

    fn at(phase: Phase) -> String {
        // e3b0c44298fc is the short form of the digest of nothing.
        text(&Event::Layer { blob: BlobId(Digest::sha256(b"")), phase })
    }

    #[test]
    fn the_story_of_a_layer_is_told_in_dockers_words() {
        let line = |status: &str, detail: &str| {
            format!("{{\"status\":\"{status}\",\"progressDetail\":{detail},\"id\":\"e3b0c44298fc\"}}\r\n")
        };
        assert_eq!(at(Phase::Queued), line("Pulling fs layer", "{}"));
        assert_eq!(at(Phase::Waiting), line("Waiting", "{}"));
        assert_eq!(at(Phase::Fetched), line("Download complete", "{\"hidecounts\":true}"));
        assert_eq!(at(Phase::Exists), line("Already exists", "{\"hidecounts\":true}"));
        assert_eq!(at(Phase::Complete), line("Pull complete", "{\"hidecounts\":true}"));
        let bar = "[=========================>                         ]  1.049MB/2.097MB";
        assert_eq!(
            at(Phase::Fetching { done: 1 << 20, total: 2 << 20 }),
            format!(
                "{{\"status\":\"Downloading\",\"progressDetail\":{{\"current\":1048576,\"total\":2097152}},\
                 \"progress\":\"{}\",\"id\":\"e3b0c44298fc\"}}\r\n",
                bar.replace('>', "\\u003e")
            )
        );
        assert!(at(Phase::Unpacking { done: 1, total: 2 }).contains("\"Extracting\""));
    }

    #[test]
    fn a_retry_says_when_and_why() {
        let retrying = |seconds, reason: &str| at(Phase::Retrying { seconds, reason: reason.to_owned() });
        assert!(retrying(5, "connection reset").contains("\"Retrying in 5 seconds (connection reset)\""));
        assert!(retrying(0, "").contains("\"Retrying in 1 second\""));
        assert!(retrying(2, &"é".repeat(1000)).len() < 600);
        let reference = Reference::parse("busybox:1").unwrap();
        assert_eq!(
            text(&Event::Retrying { reference, seconds: 2, reason: "503 from the registry".to_owned() }),
            "{\"status\":\"Retrying in 2 seconds (503 from the registry)\",\"id\":\"1\"}\r\n"
        );
    }

    #[test]
    fn the_first_and_last_lines_name_the_image() {
        let tagged = Reference::parse("busybox:1").unwrap();
        assert_eq!(
            text(&Event::Pulling(tagged.clone())),
            "{\"status\":\"Pulling from library/busybox\",\"id\":\"1\"}\r\n"
        );
        let digest = Digest::sha256(b"");
        let canonical = Reference::parse("busybox").unwrap().with_digest(digest);
        assert_eq!(
            text(&Event::Pulling(canonical)),
            format!(
                "{{\"status\":\"Pulling from library/busybox\",\"id\":\"docker.io/library/busybox@{digest}\"}}\r\n"
            )
        );
        let outcome = Outcome { reference: tagged, image: ImageId(digest), platform: Platform::host(), updated: true };
        let done = text(&Event::Done(outcome));
        let lines: Vec<_> = done.split_terminator("\r\n").collect();
        assert_eq!(
            lines,
            [
                format!("{{\"status\":\"Digest: {digest}\"}}"),
                "{\"status\":\"Status: Downloaded newer image for busybox:1\"}".to_owned(),
                format!(
                    "{{\"progressDetail\":{{}},\"aux\":{{\"ID\":\"{digest}\",\"Reference\":\"docker.io/library/busybox:1\"}}}}"
                ),
            ]
        );
    }

    #[test]
    fn a_failure_is_told_with_its_causes() {
        let cause = DocumentError::Missing { media_type: "x/y".into(), member: "layers" };
        let error = PullError { reference: Reference::parse("a:1").unwrap(), cause: Box::new(cause.into()) };
        let told = text(&Event::Failed(Arc::new(error)));
        assert!(told.starts_with("{\"errorDetail\":{\"message\":\"pull `a:1`: the `x/y` has no `layers`\""), "{told}");
    }
}
