//! Sizes in tables.

use layer_proto::decimal_size;

/// How docker prints sizes in its tables: three digits.
pub(crate) fn in_table(bytes: u64) -> String {
    decimal_size(bytes, 3)
}

/// How docker prints sizes beside a progress bar: four digits.
pub(crate) fn in_bar(bytes: u64) -> String {
    decimal_size(bytes, 4)
}
