//! Contacts.

use super::{Answer, OrNotFound};
use crate::domain::id::ContactId;
use crate::http::Edge;
use crate::http::auth::Caller;
use crate::http::body::At;
use crate::view::contact::ContactView;
use axum::Json;
use axum::extract::State;

/// `GET /contacts/{id}`
pub(in crate::http) async fn show(
    State(edge): State<Edge>,
    caller: Caller,
    At(id): At<ContactId>,
) -> Answer<ContactView> {
    let found = edge.flow.store.contact(caller.account(), id).await?;
    let (contact, addresses) = found.or_not_found("contact")?;
    Ok(Json(ContactView::from(&contact).with_addresses(addresses)))
}
