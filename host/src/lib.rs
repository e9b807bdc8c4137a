//! Under construction.
pub mod plugin;
