//! Reading `null` where a value is due.

use serde::{Deserialize, Deserializer};

/// Takes `null` for the empty value: Go writes a slice, map or pointer that was never set so.
pub(crate) fn null_as_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}
