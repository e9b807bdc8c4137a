//! Contacts: the people who write to inboxes.

use crate::exchange::{Party, UnixMs};
use crate::id::ContactId;

/// A person who writes to an inbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contact {
    /// Its id; 0 until it is stored.
    pub id: ContactId,
    /// Shown to people.
    pub name: String,
    /// E-mail address, when known.
    pub email: Option<String>,
    /// Phone number, when known.
    pub phone: Option<String>,
    /// A picture.
    pub avatar_url: Option<String>,
    /// When it was first seen.
    pub created_at: UnixMs,
    /// When its details last changed.
    pub updated_at: UnixMs,
}

impl Contact {
    /// A contact as the provider's party introduces itself.
    pub fn introduced_by(party: &Party, now: UnixMs) -> Self {
        Self {
            id: ContactId(0),
            name: party.name.clone().unwrap_or_else(|| party.address.clone()),
            email: party.email.clone(),
            phone: party.phone.clone(),
            avatar_url: party.avatar_url.clone(),
            created_at: now,
            updated_at: now,
        }
    }

    /// The contact with whatever the party adds. A provider that knows only the address does not
    /// take a name away.
    pub fn learned_from(&self, party: &Party, now: UnixMs) -> Option<Self> {
        let mut after = self.clone();
        if let Some(name) = &party.name {
            after.name.clone_from(name);
        }
        for (known, said) in [
            (&mut after.email, &party.email),
            (&mut after.phone, &party.phone),
            (&mut after.avatar_url, &party.avatar_url),
        ] {
            if said.is_some() {
                known.clone_from(said);
            }
        }
        if after == *self {
            return None;
        }
        after.updated_at = now;
        Some(after)
    }
}

/// As much of a contact as a ticket shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContactRef {
    /// Its id; 0 until it is stored.
    pub id: ContactId,
    /// Shown to people.
    pub name: String,
    /// Its address in the ticket's inbox: the `source_id` of its contact inbox.
    pub address: String,
    /// E-mail address, when known.
    pub email: Option<String>,
}
