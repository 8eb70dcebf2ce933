//! Archives as others write and read them, and as nobody should.

#![expect(clippy::unwrap_used, reason = "a test that fails may panic")]

mod hostile;
mod round_trip;
