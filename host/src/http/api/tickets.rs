//! Tickets.

use super::{Answer, OrNotFound};
use crate::domain::command::{AssigneeKey, Command, StatusKey, TicketKey, TicketPatch};
use crate::domain::id::{ContactId, InboxId, StatusId, TicketNumber, UserId};
use crate::domain::status::{Category, Status};
use crate::domain::ticket::{Priority, TicketKind};
use crate::flow::{cards, compose};
use crate::http::Edge;
use crate::http::auth::Caller;
use crate::http::body::{self, At, given};
use crate::http::page::{Asked, Kind};
use crate::http::problem::{Code, Problem};
use crate::store::ticket::TicketFilter;
use crate::view::List;
use crate::view::ticket::TicketView;
use axum::Json;
use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;

/// Which tickets; `none` stands for nobody and for no priority.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Filter {
    /// A name or an id, or a category.
    status: Option<String>,
    category: Option<Category>,
    assignee: Option<String>,
    priority: Option<String>,
    tag: Option<String>,
    inbox: Option<InboxId>,
    kind: Option<TicketKind>,
    contact: Option<ContactId>,
}

/// A new ticket.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct NewBody {
    kind: TicketKind,
    subject: String,
    #[serde(default)]
    body: Option<String>,
    #[serde(default)]
    priority: Option<Priority>,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    assignee_id: Option<UserId>,
}

/// A status: its id, its name, or its category for the default of that category.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "expected the name, the id or the category of a status")]
enum StatusBody {
    Id(i64),
    Word(String),
}

/// What to change; null takes away.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct PatchBody {
    #[serde(default, deserialize_with = "given")]
    subject: Option<String>,
    #[serde(default, deserialize_with = "given")]
    status: Option<StatusBody>,
    #[serde(default, deserialize_with = "given")]
    priority: Option<Option<Priority>>,
    #[serde(default, deserialize_with = "given")]
    assignee_id: Option<Option<UserId>>,
    #[serde(default, deserialize_with = "given")]
    tags: Option<Vec<String>>,
}

fn invalid(name: &str, expected: &str, found: &str) -> Problem {
    Problem::new(Code::InvalidQuery, format!("{name}: expected {expected}, found {found:?}"))
}

impl Filter {
    fn bounds(self, statuses: &[Status]) -> Result<TicketFilter, Problem> {
        let mut category = self.category;
        let status = match self.status {
            None => None,
            Some(word) => match (named(statuses, &word), Category::parse(&word)) {
                (Some(id), _) => Some(id),
                (None, Some(of_word)) if category.is_none_or(|known| known == of_word) => {
                    category = Some(of_word);
                    None
                }
                (None, _) => return Err(invalid("status", "a status of the account", &word)),
            },
        };
        let assignee = match self.assignee.as_deref() {
            None => None,
            Some("none") => Some(None),
            Some(text) => Some(Some(
                text.parse().map_err(|_| invalid("assignee", "a user's id or none", text))?,
            )),
        };
        let priority =
            match self.priority.as_deref() {
                None => None,
                Some("none") => Some(None),
                Some(text) => Some(Some(Priority::parse(text).ok_or_else(|| {
                    invalid("priority", "urgent, high, medium, low or none", text)
                })?)),
            };
        Ok(TicketFilter {
            status,
            category,
            assignee,
            priority,
            tag: self.tag,
            inbox: self.inbox,
            kind: self.kind,
            contact: self.contact,
        })
    }
}

/// The status with this name or id.
fn named(statuses: &[Status], word: &str) -> Option<StatusId> {
    let by_name = statuses.iter().find(|status| status.name.to_lowercase() == word.to_lowercase());
    let by_id = || {
        let id: StatusId = word.parse().ok()?;
        statuses.iter().find(|status| status.id == id)
    };
    by_name.or_else(by_id).map(|status| status.id)
}

/// `GET /tickets`
pub(in crate::http) async fn list(
    State(edge): State<Edge>,
    caller: Caller,
    Asked { page, filter }: Asked<Filter>,
) -> Answer<List<TicketView>> {
    let before = page.position(Kind::Tickets)?.unwrap_or(i64::MAX);
    let store = &edge.flow.store;
    let statuses = match filter.status {
        None => Vec::new(),
        Some(_) => store.statuses(caller.account()).await?,
    };
    let bounds = filter.bounds(&statuses)?;
    let rows = store.tickets(caller.account(), &bounds, before, page.rows()).await?;
    Ok(Json(page.list(Kind::Tickets, rows, |row| row.number, |row| TicketView::from(&row))))
}

/// `POST /tickets`
pub(in crate::http) async fn create(
    State(edge): State<Edge>,
    caller: Caller,
    body::Json(body): body::Json<NewBody>,
) -> Result<Response, Problem> {
    match body.kind {
        TicketKind::Task => {}
        TicketKind::Conversation => {
            let detail = "expected \"task\": conversations begin with a message in an inbox";
            return Err(Problem::invalid_at("/kind", detail));
        }
    }
    let command = Command::CreateTask {
        subject: body.subject,
        body: body.body,
        priority: body.priority,
        tags: body.tags,
        assignee: body.assignee_id.map(AssigneeKey::Id),
    };
    let change = compose::compose(&edge.flow, caller.account(), caller.actor(), command).await?;
    let ticket = change.ticket.or_not_found("ticket")?.after;
    let path = format!("/api/v1/tickets/{}", ticket.number);
    Ok(super::created(path, TicketView::from(&ticket)))
}

/// `GET /tickets/{number}`
pub(in crate::http) async fn show(
    State(edge): State<Edge>,
    caller: Caller,
    At(number): At<TicketNumber>,
) -> Answer<TicketView> {
    let found = edge.flow.store.ticket(caller.account(), number).await?;
    let ticket = found.or_not_found("ticket")?;
    let card = cards::card_of(&edge.flow, &ticket).await;
    Ok(Json(TicketView::from(&ticket).with_card(card)))
}

/// `PATCH /tickets/{number}`
pub(in crate::http) async fn update(
    State(edge): State<Edge>,
    caller: Caller,
    At(number): At<TicketNumber>,
    body::Json(body): body::Json<PatchBody>,
) -> Answer<TicketView> {
    let patch = TicketPatch {
        subject: body.subject,
        status: body.status.map(|status| match status {
            StatusBody::Id(id) => StatusKey::Id(id),
            StatusBody::Word(word) => StatusKey::Word(word),
        }),
        priority: body.priority,
        assignee: body.assignee_id.map(|assignee| assignee.map(AssigneeKey::Id)),
        tags: body.tags,
        ..TicketPatch::default()
    };
    let command = Command::UpdateTicket { ticket: TicketKey::Number(number), patch };
    let account = caller.account();
    let change = compose::compose(&edge.flow, account, caller.actor(), command).await?;
    let ticket = match change.ticket {
        Some(changed) => changed.after,
        // Everything was so already.
        None => edge.flow.store.ticket(account, number).await?.or_not_found("ticket")?,
    };
    Ok(Json(TicketView::from(&ticket)))
}
