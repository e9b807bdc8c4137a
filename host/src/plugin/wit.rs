//! One module per version of the plugin interface.
pub mod v0_1;
