//! Events become the lines that docker's clients read.

use layer_engine::{Event, Phase};
use layer_proto::{LayerStatus, ProgressLine, Pulled};

use crate::error::chain;

/// The lines of an event.
pub(crate) fn lines(event: &Event) -> Vec<ProgressLine> {
    match event {
        Event::Pulling(reference) => {
            vec![ProgressLine::pulling(reference.repository().path(), reference.tag_or_canonical())]
        }
        Event::Warning(text) => vec![ProgressLine::message(format!("WARNING: {text}"))],
        Event::Layer { blob, phase } => vec![layer(&blob.0.short(), phase)],
        Event::Done(outcome) => vec![
            ProgressLine::digest(&outcome.image.to_string()),
            ProgressLine::done(&outcome.reference.familiar(), outcome.updated),
            ProgressLine::pulled(&Pulled { id: outcome.image.to_string(), reference: outcome.reference.to_string() }),
        ],
        Event::Failed(error) => vec![ProgressLine::error(chain(&**error), error.hint())],
    }
}

fn layer(id: &str, phase: &Phase) -> ProgressLine {
    match phase {
        Phase::Queued => ProgressLine::layer(id, LayerStatus::PullingFsLayer),
        Phase::Waiting => ProgressLine::layer(id, LayerStatus::Waiting),
        Phase::Fetching { done, total } => ProgressLine::layer_progress(id, LayerStatus::Downloading, *done, *total),
        Phase::Retrying { seconds, reason } => ProgressLine {
            // Beside the words that docker has for it, where its client shows what a bar would.
            progress: Some(format!("({reason})")),
            ..ProgressLine::layer(id, LayerStatus::Retrying { seconds: *seconds })
        },
        Phase::Fetched => ProgressLine::layer(id, LayerStatus::DownloadComplete),
        Phase::Unpacking { done, total } => ProgressLine::layer_progress(id, LayerStatus::Extracting, *done, *total),
        Phase::Exists => ProgressLine::layer(id, LayerStatus::AlreadyExists),
        Phase::Complete => ProgressLine::layer(id, LayerStatus::PullComplete),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(line: &ProgressLine) -> String {
        String::from_utf8(line.to_bytes()).unwrap()
    }

    #[test]
    fn layers_speak_dockers_words() {
        let id = "0123456789ab";
        assert_eq!(
            text(&layer(id, &Phase::Queued)),
            "{\"status\":\"Pulling fs layer\",\"progressDetail\":{},\"id\":\"0123456789ab\"}\r\n"
        );
        assert!(text(&layer(id, &Phase::Fetching { done: 1, total: 4 })).contains("\"current\":1,\"total\":4"));
        let retrying = text(&layer(id, &Phase::Retrying { seconds: 4, reason: "503 from the registry".to_owned() }));
        assert!(
            retrying.contains("Retrying in 4 seconds") && retrying.contains("(503 from the registry)"),
            "{retrying}"
        );
    }
}
