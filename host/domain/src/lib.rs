//! What tickets, messages and policies mean.
//!
//! Everything here is pure: no async, no I/O, no clock and no randomness; time and facts are
//! arguments. [`decide::decide`] is the one place where a [`command::Command`] is judged against
//! the facts; the outcome is a [`decide::Change`] of state, and the [`event::Event`]s follow from
//! comparing the state before with the state after.

pub mod command;
pub mod contact;
pub mod decide;
pub mod event;
pub mod exchange;
pub mod id;
pub mod limits;
pub mod message;
pub mod plugin;
pub mod retry;
pub mod status;
pub mod ticket;
pub mod user;
