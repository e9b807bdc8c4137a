//! Versions of the plugin interface: generated bindings, and the conversion to the domain's words.

pub mod v0_1;
