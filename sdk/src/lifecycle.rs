//! Optional: work when a connection starts and ends.

use crate::bindings::lifecycle::exports::tidegate::plugin::lifecycle as wit;
use crate::words::Failure;

/// For integrations that must register themselves with their provider.
pub trait Lifecycle {
    /// After activation and whenever settings change. Runs again after a failure, so it must be
    /// repeatable.
    ///
    /// # Errors
    /// `Retry` is tried again; anything else is shown on the connection.
    fn connect(webhook_url: String) -> Result<(), Failure>;

    /// When the connection ends. Unless overridden, nothing.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    fn disconnect() -> Result<(), Failure> {
        Ok(())
    }
}

impl<T: Lifecycle> wit::Guest for T {
    fn connect(webhook_url: String) -> Result<(), Failure> {
        T::connect(webhook_url)
    }
    fn disconnect() -> Result<(), Failure> {
        T::disconnect()
    }
}
