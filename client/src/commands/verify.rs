//! `layer verify`.

use layer_proto::verify::{Note, Verified};
use layer_proto::{ProgressLine, VerifyRequest};

use crate::api::Api;
use crate::cli::{Format, VerifyArgs};
use crate::error::Error;
use crate::exit::Exit;
use crate::render::text::clean;
use crate::render::{json, output, size};

/// Has images proven, and prints what is wrong with them.
pub(super) async fn run(api: &Api, args: VerifyArgs) -> Result<Exit, Error> {
    let (what, format) = (args.images.join(" "), args.format);
    let request = VerifyRequest { images: args.images, repair: args.repair };
    let what = if what.is_empty() { "all images".to_owned() } else { what };
    told(api, &request, format).await.map_err(|error| error.during("verify", what))
}

async fn told(api: &Api, request: &VerifyRequest, format: Format) -> Result<Exit, Error> {
    let mut stream = api.verify(request).await?;
    let mut verified = None;
    while let Some(line) = stream.next().await? {
        if let Some(failure) = line.failure() {
            return Err(Error::Refused { message: failure.message, hint: failure.hint, login: failure.login });
        }
        match Note::of(&line) {
            Some(note) => {
                print(&note, &line, format)?;
                if let Note::Verified(totals) = note {
                    verified = Some(totals);
                }
            }
            None => talk(&line),
        }
    }
    match verified {
        None => Err(Error::Ended),
        Some(Verified { damaged: 0, .. }) => Ok(Exit::Done),
        Some(_) => Ok(Exit::Failed),
    }
}

/// Results go to standard output: the words for people, the data for programs.
fn print(note: &Note, line: &ProgressLine, format: Format) -> Result<(), Error> {
    match (format, note) {
        (Format::Json, note) => output::data(&json::line(note)),
        (Format::Table, Note::Verified(totals)) => output::data(&summary(totals)),
        (Format::Table, _) => output::data(&clean(line.status.as_deref().unwrap_or_default())),
    }
}

/// How far it is goes to standard error.
fn talk(line: &ProgressLine) {
    let Some(words) = line.status.as_deref() else { return };
    match line.id.as_deref() {
        Some(id) => output::talk(&format!("{}: {}", clean(id), clean(words))),
        None => output::talk(&clean(words)),
    }
}

fn summary(totals: &Verified) -> String {
    let looked_at = format!(
        "{}, {} with {}, {} read",
        counted(totals.images, "image"),
        counted(totals.layers, "layer"),
        counted(totals.files, "file"),
        size::in_table(totals.bytes)
    );
    let outcome = match totals {
        Verified { problems: 0, .. } => "all is well".to_owned(),
        Verified { repaired: 0, .. } => format!("{} damaged", counted(totals.damaged, "part")),
        Verified { damaged: 0, .. } => format!("{} repaired", counted(totals.repaired, "part")),
        _ => format!("{} repaired, {} still damaged", counted(totals.repaired, "part"), totals.damaged),
    };
    format!("{looked_at}: {outcome}")
}

fn counted(number: u64, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_says_how_it_is() {
        let whole = Verified { images: 1, layers: 2, files: 30, bytes: 4_000_000, ..Verified::default() };
        assert_eq!(summary(&whole), "1 image, 2 layers with 30 files, 4MB read: all is well");
        let damaged = Verified { problems: 5, damaged: 1, ..whole };
        assert!(summary(&damaged).ends_with(": 1 part damaged"));
        let repaired = Verified { problems: 5, repaired: 2, ..whole };
        assert!(summary(&repaired).ends_with(": 2 parts repaired"));
        let both = Verified { problems: 5, repaired: 2, damaged: 1, ..whole };
        assert!(summary(&both).ends_with(": 2 parts repaired, 1 still damaged"));
    }
}
