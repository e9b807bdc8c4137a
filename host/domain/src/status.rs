//! Statuses: named and ordered by the operator, each with a category. Rules speak of categories.

use crate::id::StatusId;
use serde::{Deserialize, Serialize};

/// What a status means to rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Category {
    /// Somebody has to act.
    Open,
    /// Waiting for somebody else.
    Pending,
    /// Asleep until a time or an answer.
    Snoozed,
    /// Finished.
    Resolved,
}

impl Category {
    /// Every category, in the order of the board.
    pub const ALL: [Self; 4] = [Self::Open, Self::Pending, Self::Snoozed, Self::Resolved];

    /// The category's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Pending => "pending",
            Self::Snoozed => "snoozed",
            Self::Resolved => "resolved",
        }
    }

    /// The category of this word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|category| category.as_str() == word)
    }
}

/// A status of an account's board.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Its id.
    pub id: StatusId,
    /// Its name, unique inside the account without regard to case.
    pub name: String,
    /// What it means to rules.
    pub category: Category,
    /// Lower comes first on the board.
    pub position: i64,
    /// The one that stands for its category.
    pub is_default: bool,
}

/// The statuses that a new account starts with; the first is its default inbound status.
pub const SEED: [(&str, Category, bool); 4] = [
    ("Open", Category::Open, true),
    ("In Process", Category::Open, false),
    ("Human Review", Category::Pending, true),
    ("Closed", Category::Resolved, true),
];
