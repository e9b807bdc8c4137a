//! Contacts.

use super::time;
use crate::domain::contact::{Contact, ContactRef};
use crate::domain::id::InboxId;
use serde::Serialize;

/// A contact.
#[derive(Debug, Serialize)]
pub struct ContactView {
    id: i64,
    name: String,
    email: Option<String>,
    phone: Option<String>,
    avatar_url: Option<String>,
    /// Where it writes from; only where one contact was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    addresses: Option<Vec<AddressView>>,
    created_at: String,
    updated_at: String,
}

#[derive(Debug, Serialize)]
struct AddressView {
    inbox_id: i64,
    address: String,
}

impl From<&Contact> for ContactView {
    fn from(contact: &Contact) -> Self {
        Self {
            id: contact.id.0,
            name: contact.name.clone(),
            email: contact.email.clone(),
            phone: contact.phone.clone(),
            avatar_url: contact.avatar_url.clone(),
            addresses: None,
            created_at: time(contact.created_at),
            updated_at: time(contact.updated_at),
        }
    }
}

impl ContactView {
    /// The contact with its addresses.
    #[must_use]
    pub fn with_addresses(mut self, addresses: Vec<(InboxId, String)>) -> Self {
        let addresses = addresses
            .into_iter()
            .map(|(inbox, address)| AddressView { inbox_id: inbox.0, address })
            .collect();
        self.addresses = Some(addresses);
        self
    }
}

/// As much of a contact as a ticket shows.
#[derive(Debug, Serialize)]
pub struct ContactRefView {
    id: i64,
    name: String,
    address: String,
}

impl From<&ContactRef> for ContactRefView {
    fn from(contact: &ContactRef) -> Self {
        Self { id: contact.id.0, name: contact.name.clone(), address: contact.address.clone() }
    }
}
