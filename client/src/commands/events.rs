//! `layer events`.

use layer_proto::Event;

use crate::api::Api;
use crate::cli::{AboutFormat, EventsArgs};
use crate::error::Error;
use crate::exit::Exit;
use crate::render::text::clean;
use crate::render::{age, json, output};

/// Prints events as they come, until there are no more to be had. It is a failure when the daemon stops.
pub(super) async fn run(api: &Api, args: EventsArgs) -> Result<Exit, Error> {
    let mut events = api.events(args.since.as_deref(), args.until.as_deref(), &args.filters).await?;
    while let Some(event) = events.next().await? {
        match args.format {
            AboutFormat::Text => output::data(&text(&event))?,
            AboutFormat::Json => output::data(&json::line(&event))?,
        }
    }
    // Without an end there are always more, unless the daemon stops.
    if args.until.is_none() { Err(Error::Ended) } else { Ok(Exit::Done) }
}

/// An event in one line, laid out as docker's.
fn text(event: &Event) -> String {
    let attributes: Vec<_> = event.actor.attributes.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let words = [&*event.kind, &*event.action, &*event.actor.id].into_iter().filter(|word| !word.is_empty());
    let words: Vec<_> = words.collect();
    clean(&format!("{} {} ({})", age::timestamp(event.time), words.join(" "), attributes.join(", "))).into_owned()
}

#[cfg(test)]
mod tests {
    use layer_proto::Actor;

    use super::*;

    #[test]
    fn an_event_is_one_line() {
        let attributes = [("name", "busybox"), ("bad\nlabel", "\u{1b}[2J")];
        let pull = Event {
            kind: "image".into(),
            action: "pull".into(),
            actor: Actor {
                id: "busybox:latest".into(),
                attributes: attributes.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
            },
            time: 1_795_462_482,
            ..Event::default()
        };
        let prune = Event {
            action: "prune".into(),
            actor: Actor { id: String::new(), attributes: [("reclaimed".to_owned(), "0".to_owned())].into() },
            ..pull.clone()
        };
        insta::assert_snapshot!([text(&pull), text(&prune)].join("\n"), @r"
        2026-11-23T19:34:42Z image pull busybox:latest (bad\nlabel=\u{1b}[2J, name=busybox)
        2026-11-23T19:34:42Z image prune (reclaimed=0)
        ");
    }
}
