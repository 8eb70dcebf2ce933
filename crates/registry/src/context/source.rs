//! Who sent what: so that wrong bytes are asked for somewhere else.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use super::Peer;
use crate::host::Health;

/// An endpoint that bytes came from: the registry, or one of its mirrors. Two are equal when they are the same endpoint.
#[derive(Clone)]
pub struct Source(Arc<Endpoint>);

struct Endpoint {
    id: String,
    peer: Peer,
    /// Mirrors have one: the registry itself is asked in any case.
    health: Option<Health>,
}

impl Source {
    pub(crate) fn new(id: String, peer: Peer, is_mirror: bool) -> Self {
        Self(Arc::new(Endpoint { id, peer, health: is_mirror.then(Health::default) }))
    }

    /// Its name in tables.
    pub(crate) fn id(&self) -> &str {
        &self.0.id
    }

    /// What is known of a mirror.
    pub(crate) fn health(&self) -> Option<&Health> {
        self.0.health.as_ref()
    }

    /// Whether somebody else can be asked for the same.
    pub fn is_mirror(&self) -> bool {
        self.0.health.is_some()
    }

    /// A mirror that broke off is left alone for a while.
    pub(crate) fn broke_off(&self, why: &dyn fmt::Display) {
        if let Some(health) = self.health() {
            tracing::warn!(source = %self, %why, "a mirror broke off; it is left alone for a while");
            health.went_down(why.to_string());
        }
    }
}

impl PartialEq for Source {
    fn eq(&self, other: &Self) -> bool {
        self.0.id == other.0.id
    }
}

impl Eq for Source {}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.peer.fmt(f)
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Source({})", self.0.id)
    }
}

/// Who sent the bytes of one blob, and whose were wrong. Clones share it, so that several requests for parts of the blob can.
#[derive(Clone, Debug, Default)]
pub struct Sources(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    served: Vec<Source>,
    avoided: Vec<Source>,
}

impl Sources {
    fn known<T>(&self, look: impl FnOnce(&mut Known) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Notes that bytes come from `source`.
    pub(crate) fn serve(&self, source: &Source) {
        self.known(|known| {
            if !known.served.contains(source) {
                known.served.push(source.clone());
            }
        });
    }

    /// Whether `source` has sent wrong bytes.
    pub(crate) fn avoids(&self, source: &Source) -> bool {
        self.known(|known| known.avoided.contains(source))
    }

    /// Holds those who have sent bytes since the last time for the ones who sent wrong ones: mirrors among them are asked no more.
    ///
    /// Returns whether a mirror is among those that were not held for such before: then there is hope that somebody else has the right bytes.
    pub fn distrust(&self) -> bool {
        self.known(|known| {
            let fresh: Vec<_> = known.served.drain(..).filter(|source| !known.avoided.contains(source)).collect();
            let mirror = fresh.iter().any(Source::is_mirror);
            known.avoided.extend(fresh);
            mirror
        })
    }
}

impl fmt::Display for Sources {
    /// All who have sent bytes since [`Sources::distrust`], or nobody.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.known(|known| known.served.iter().map(ToString::to_string).collect::<Vec<_>>());
        if names.is_empty() { f.write_str("nobody") } else { f.write_str(&names.join(" and ")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::Role;

    fn source(host: &str, is_mirror: bool) -> Source {
        let role = if is_mirror { Role::Mirror(host.to_owned()) } else { Role::Registry };
        Source::new(host.to_owned(), Peer { registry: "r".to_owned(), role }, is_mirror)
    }

    #[test]
    fn whoever_sent_wrong_bytes_is_avoided_from_then_on() {
        let (registry, mirror) = (source("r", false), source("m", true));
        let sources = Sources::default();
        sources.serve(&mirror);
        sources.serve(&mirror);
        assert_eq!(sources.to_string(), "mirror `m` of registry `r`");
        assert!(!sources.avoids(&mirror) && sources.distrust() && sources.avoids(&mirror));
        sources.serve(&mirror);
        sources.serve(&registry);
        assert_eq!(sources.to_string(), "mirror `m` of registry `r` and registry `r`");
        assert!(!sources.distrust() && sources.avoids(&registry));
    }
}
