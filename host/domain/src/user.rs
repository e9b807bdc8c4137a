//! Users: the people and programs that work tickets.

use crate::id::UserId;
use serde::{Deserialize, Serialize};

/// What a user may do inside the account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Everything of the account: connections, inboxes, users, tickets.
    Administrator,
    /// Work tickets.
    Agent,
}

impl Role {
    /// The role's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Administrator => "administrator",
            Self::Agent => "agent",
        }
    }

    /// The role of this word.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Administrator, Self::Agent].into_iter().find(|role| role.as_str() == word)
    }
}

/// A user of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Its id.
    pub id: UserId,
    /// Shown to people.
    pub name: String,
    /// Unique inside the account, lower case.
    pub email: String,
    /// What it may do inside the account.
    pub role: Role,
    /// May also administer the host: its plugins.
    pub operator: bool,
}

/// As much of a user as a ticket shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserRef {
    /// Its id.
    pub id: UserId,
    /// Shown to people.
    pub name: String,
    /// E-mail address.
    pub email: String,
}
