//! Typed ids. Every id is a positive integer, unique inside its account; a ticket is named by its
//! number, which every surface shows.

use serde::{Deserialize, Serialize};

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub i64);

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = NotAnId;

            fn from_str(text: &str) -> Result<Self, NotAnId> {
                text.parse::<i64>().ok().filter(|id| *id > 0).map(Self).ok_or(NotAnId)
            }
        }
    )+};
}

/// The text is not a positive integer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a positive integer")]
pub struct NotAnId;

ids! {
    /// An account: the tenant that everything else belongs to.
    AccountId,
    /// A person or program that works tickets.
    UserId,
    /// An API token of a user.
    TokenId,
    /// An operator's configured use of an integration.
    ConnectionId,
    /// A channel bound to a connection.
    InboxId,
    /// A person who writes to an inbox.
    ContactId,
    /// A ticket, by its number inside the account.
    TicketNumber,
    /// One utterance in a ticket.
    MessageId,
    /// A status of the account's board.
    StatusId,
    /// A raw incoming request.
    IntakeId,
    /// The obligation to hand one message to its provider.
    DeliveryId,
    /// One try of a part.
    AttemptId,
    /// The position of an event in its account's log; starts at 1, without gaps.
    EventNumber,
}
