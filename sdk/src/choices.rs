//! Optional: lists that only the provider knows.

use crate::bindings::choices::exports::tidegate::plugin::choices as wit;
use crate::words::Failure;

pub use wit::{Choice, Page};

/// For integrations that can list their provider's templates, rooms, mailboxes.
pub trait Choices {
    /// One page of the list named `of`, filtered by `query`; `cursor` is the `next` of the page
    /// before.
    ///
    /// # Errors
    /// Shown to the person who asked.
    fn choices(of: String, query: String, cursor: Option<String>) -> Result<Page, Failure>;
}

impl<T: Choices> wit::Guest for T {
    fn choices(of: String, query: String, cursor: Option<String>) -> Result<Page, Failure> {
        T::choices(of, query, cursor)
    }
}
