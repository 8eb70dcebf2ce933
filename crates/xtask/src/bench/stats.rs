//! Medians, and how far values lie apart.

use serde::Serialize;

/// The middle of some values, and their ends.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// `None` without values.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        Some(Self { median: quantile(&values, 500), min, max })
    }
}

/// The value below which so many thousandths of the sorted values lie; between two values, in proportion.
pub(crate) fn quantile(sorted: &[f64], thousandths: usize) -> f64 {
    let place = thousandths * sorted.len().saturating_sub(1);
    let at = |index: usize| sorted.get(index).copied().unwrap_or(f64::NAN);
    let (low, high) = (at(place / 1000), at(place.div_ceil(1000)));
    low + (high - low) * (place % 1000) as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::{Spread, quantile};

    #[test]
    fn medians_and_quantiles() {
        assert_eq!(Spread::of([3.0, 1.0, 2.0]), Some(Spread { median: 2.0, min: 1.0, max: 3.0 }));
        assert_eq!(Spread::of([1.0, 2.0]).map(|spread| spread.median), Some(1.5));
        assert_eq!(Spread::of([]), None);
        let hundred: Vec<f64> = (0..=100).map(f64::from).collect();
        assert_eq!(quantile(&hundred, 990), 99.0);
    }
}
