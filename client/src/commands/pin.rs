//! `layer pin`, `layer unpin`, `layer pins`.

use layer_proto::Pin;

use super::go_on;
use crate::api::Api;
use crate::cli::{Format, PinArgs, PinsArgs};
use crate::error::Error;
use crate::exit::Exit;
use crate::render::table::Table;
use crate::render::text::{clean, short_id};
use crate::render::{json, output};

/// Pins each name or image, and prints what was pinned.
pub(super) async fn run(api: &Api, args: PinArgs) -> Result<Exit, Error> {
    let mut exit = Exit::Done;
    for image in args.images {
        match api.pin(&image).await {
            Ok(pin) => output::outcome(&clean(shown(&pin)))?,
            Err(error) => go_on(error.during("pin", image), &mut exit)?,
        }
    }
    Ok(exit)
}

/// Takes pins off, and prints them.
pub(super) async fn unpin(api: &Api, args: PinArgs) -> Result<Exit, Error> {
    let mut exit = Exit::Done;
    for image in args.images {
        match api.unpin(&image).await {
            Ok(pins) => pins.iter().try_for_each(|pin| output::outcome(&clean(shown(pin))))?,
            Err(error) => go_on(error.during("unpin", image), &mut exit)?,
        }
    }
    Ok(exit)
}

/// Prints what is pinned.
pub(super) async fn list(api: &Api, args: PinsArgs) -> Result<Exit, Error> {
    let pins = api.pins().await?;
    match args.format {
        Format::Json => pins.iter().try_for_each(|pin| output::data(&json::line(pin)))?,
        Format::Table => output::data(&table(&pins))?,
    }
    Ok(Exit::Done)
}

/// What is pinned: a name, or an image by its ID.
fn shown(pin: &Pin) -> &str {
    pin.reference.as_deref().unwrap_or(&pin.image)
}

fn table(pins: &[Pin]) -> String {
    let mut table = Table::new(&["IMAGE", "IMAGE ID"]);
    for pin in pins {
        table.row([pin.reference.as_deref().unwrap_or("<none>"), &short_id(&pin.image)]);
    }
    table.text()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pins_are_listed_by_name() {
        let image = "sha256:0cdb4c5716699f8e4c068f58b52bf3c46a03df3a64891f81e4c45cff63f1114f";
        let named = Pin { image: image.into(), reference: Some("busybox:1".into()) };
        let nameless = Pin { image: image.into(), reference: None };
        insta::assert_snapshot!(table(&[named, nameless]), @r"
        IMAGE       IMAGE ID
        busybox:1   0cdb4c571669
        <none>      0cdb4c571669
        ");
    }
}
