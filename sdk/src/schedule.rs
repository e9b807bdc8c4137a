//! Optional: polling, token refresh, reconciliation.

use crate::bindings::schedule::exports::tidegate::plugin::schedule as wit;
use crate::words::{Failure, UnixMs};

pub use wit::Ticked;

/// For integrations that have work to do without being called.
pub trait Schedule {
    /// One caller at a time per connection.
    ///
    /// # Errors
    /// Every failure is tried again on the host's schedule and shown on the connection.
    fn tick(now: UnixMs) -> Result<Ticked, Failure>;
}

impl<T: Schedule> wit::Guest for T {
    fn tick(now: UnixMs) -> Result<Ticked, Failure> {
        T::tick(now)
    }
}
