//! x
pub mod wit;
