//! `GET /events`: what happened to images, and what happens.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use futures_util::stream;
use http::header::CONTENT_TYPE;
use jiff::{Timestamp, Zoned};
use layer_engine::{EventReader, ImageEvent};
use layer_proto::{Actor, Event};

use super::App;
use crate::answer;
use crate::failure::Failure;
use crate::filters::{EventFilter, Filters, moment};
use crate::params::Params;

/// Follows events: those since a moment, if one is given, and then those that come, until a moment if one is given. A moment in the past is
/// the end of a history.
#[utoipa::path(
    get,
    path = "/events",
    tag = "Docker",
    operation_id = "SystemEvents",
    params(
        ("since" = Option<String>, Query, description = "Begin with those since then: seconds since 1970, RFC 3339, or a span before now."),
        ("until" = Option<String>, Query, description = "End there; without it the answer goes on."),
        ("filters" = Option<String>, Query, description = "Filters in JSON, `{\"key\":[\"value\"]}` or `{\"key\":{\"value\":true}}`: `event`, `image`, `label`, `scope`, `type`."),
    ),
    responses(
        (status = 200, description = "Events, each an object as `Event` has it, one a line."),
        (status = "default", description = "What went wrong.", body = layer_proto::ErrorBody),
    )
)]
pub(super) async fn follow(State(app): State<App>, params: Params) -> Result<Response, Failure> {
    let now = Zoned::now();
    let at = |name: &str| {
        let read = |text: &str| {
            let bad = || {
                Failure::invalid(format!(
                    "`{name}={text}` is no moment: give seconds since 1970, a time, or a span before now such as `10m`"
                ))
            };
            moment::parse(text, &now).ok_or_else(bad)
        };
        // Docker's clients write 0 where there is nothing to say.
        params.text(name).filter(|text| *text != "0").map(read).transpose()
    };
    let (since, until) = (at("since")?, at("until")?);
    let filter = EventFilter::new(&Filters::parse(params.text("filters"))?);
    let follower = Follower {
        reader: app.engine.events(since.is_some() || until.is_some()),
        filter,
        since: since.unwrap_or(Timestamp::MIN),
        until,
    };
    let body = Body::from_stream(stream::unfold(follower, |mut follower| async move {
        Some((Ok::<_, Infallible>(follower.line().await?), follower))
    }));
    Ok(([(CONTENT_TYPE, answer::JSON)], body).into_response())
}

struct Follower {
    reader: EventReader,
    filter: EventFilter,
    since: Timestamp,
    until: Option<Timestamp>,
}

impl Follower {
    /// The next line that is asked for; `None` at the end.
    async fn line(&mut self) -> Option<Bytes> {
        loop {
            let event = self.event().await?;
            if self.until.is_some_and(|until| event.at > until) {
                return None;
            }
            let event = form(&event);
            if event.time_nano >= nanoseconds(self.since) && self.filter.takes(&event) {
                let mut line = serde_json::to_vec(&event).ok()?;
                line.push(b'\n');
                return Some(line.into());
            }
        }
    }

    async fn event(&mut self) -> Option<std::sync::Arc<ImageEvent>> {
        let Some(until) = self.until else { return self.reader.next().await };
        if let Some(event) = self.reader.ready() {
            return Some(event);
        }
        let left = Duration::try_from(until.duration_since(Timestamp::now())).ok()?;
        tokio::time::timeout(left, self.reader.next()).await.ok()?
    }
}

fn form(event: &ImageEvent) -> Event {
    let action = event.action.name().to_owned();
    Event {
        status: action.clone(),
        // What happened to no image in particular has none, and docker leaves the member out.
        id: event.actor.clone(),
        kind: "image".to_owned(),
        action,
        actor: Actor { id: event.actor.clone(), attributes: event.attributes.clone() },
        scope: "local".to_owned(),
        time: event.at.as_second(),
        time_nano: nanoseconds(event.at),
    }
}

/// Nanoseconds since 1970, as far as they can be counted: until the year 2262.
fn nanoseconds(at: Timestamp) -> i64 {
    i64::try_from(at.as_nanosecond()).unwrap_or(if at < Timestamp::UNIX_EPOCH { i64::MIN } else { i64::MAX })
}
