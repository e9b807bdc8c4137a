//! Statuses of the account's board.

use crate::domain::status::Status;
use crate::domain::ticket::StatusRef;
use serde::Serialize;

/// A status.
#[derive(Debug, Serialize)]
pub struct StatusView {
    id: i64,
    name: String,
    category: &'static str,
    position: i64,
    /// It stands for its category.
    default: bool,
}

impl From<Status> for StatusView {
    fn from(status: Status) -> Self {
        Self {
            id: status.id.0,
            name: status.name,
            category: status.category.as_str(),
            position: status.position,
            default: status.is_default,
        }
    }
}

/// As much of a status as a ticket shows.
#[derive(Debug, Serialize)]
pub struct StatusRefView {
    id: i64,
    name: String,
    category: &'static str,
}

impl From<&StatusRef> for StatusRefView {
    fn from(status: &StatusRef) -> Self {
        Self { id: status.id.0, name: status.name.clone(), category: status.category.as_str() }
    }
}
