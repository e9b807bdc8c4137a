//! Wire JSON of resources and events: what leaves this server, in one place.
//!
//! Every shape is built from domain values and rows; nothing here asks the memory or decides
//! anything. Requests are beside their handlers.

pub mod card;
pub mod connection;
pub mod contact;
pub mod delivery;
pub mod event;
pub mod inbox;
pub mod intake;
pub mod message;
pub mod plugin;
pub mod status;
pub mod ticket;
pub mod user;

use crate::domain::exchange::UnixMs;
use jiff::Timestamp;

/// A time as RFC 3339 in UTC with milliseconds. Times that no calendar has become its first or last.
pub fn time(at: UnixMs) -> String {
    let edge = if at.0 < 0 { Timestamp::MIN } else { Timestamp::MAX };
    format!("{:.3}", Timestamp::from_millisecond(at.0).unwrap_or(edge))
}

/// A list: one page of it, and where the next begins.
#[derive(Debug, serde::Serialize)]
pub struct List<T> {
    /// The page.
    pub data: Vec<T>,
    /// Handed back as `cursor` for the next page; null on the last.
    pub next_cursor: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::time;
    use crate::domain::exchange::UnixMs;

    #[test]
    fn times_have_milliseconds_and_never_fail() {
        assert_eq!(time(UnixMs(0)), "1970-01-01T00:00:00.000Z");
        assert_eq!(time(UnixMs(1_700_000_000_120)), "2023-11-14T22:13:20.120Z");
        assert!(time(UnixMs(i64::MAX)).starts_with("9999-"));
        assert!(time(UnixMs(i64::MIN)).starts_with("-009999-"));
    }
}
