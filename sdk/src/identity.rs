//! Who made the component.

use crate::bindings::identity::exports::tidegate::plugin::identity as wit;

pub use wit::Identity;

/// Implemented by [`export!`](crate::export) from the plugin's `Cargo.toml`.
pub trait Identify {
    /// Publisher, name, version, licence and homepage.
    fn identity() -> Identity;
}

impl<T: Identify> wit::Guest for T {
    fn describe() -> Identity {
        T::identity()
    }
}
