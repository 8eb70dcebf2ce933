//! Slow lines to the registry, all of one shape for all who are measured.

use std::time::Duration;

use anyhow::Result;
use layer_testkit::link::{Link, Shape};

use super::served::Served;

/// The round trip of a line: to another country.
pub(crate) const ROUND_TRIP: Duration = Duration::from_millis(40);
/// What one connection brings, as the large registries give it.
const PER_CONNECTION: u64 = 12_000_000;
/// As fast as if there were no limit.
const UNLIMITED: u64 = 10_000_000_000;

/// A line with a round trip and a rate for each connection.
pub(crate) fn shaped(served: &Served) -> Result<Link> {
    Link::start(served.registry().address(), Shape { bytes_per_second: PER_CONNECTION, round_trip: ROUND_TRIP })
}

/// A line with a round trip alone.
pub(crate) fn far(served: &Served) -> Result<Link> {
    Link::start(served.registry().address(), Shape { bytes_per_second: UNLIMITED, round_trip: ROUND_TRIP })
}
