//! What tickets, messages and policies mean.
//!
//! Everything here is pure: no async, no I/O, no clock and no randomness; time and facts are
//! arguments. `decide` is the one place where a `Command` is judged against the
//! facts; the outcome is a `Change` of state, and the `Event`s follow from comparing the state
//! before with the state after.

pub mod exchange;
pub mod id;
pub mod plugin;
