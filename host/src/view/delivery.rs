//! Deliveries with their parts and attempts.

use super::time;
use crate::store::delivery::{AttemptRow, DeliveryRow, PartRow};
use serde::Serialize;

/// A delivery.
#[derive(Debug, Serialize)]
pub struct DeliveryView {
    id: i64,
    ticket: i64,
    message_id: i64,
    state: String,
    reason: Option<String>,
    /// When it is worked next; null when it is over.
    next_try_at: Option<String>,
    created_at: String,
    finished_at: Option<String>,
    /// Only where one delivery was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    parts: Option<Vec<PartView>>,
}

#[derive(Debug, Serialize)]
struct PartView {
    number: i64,
    state: &'static str,
    external_id: Option<String>,
    idempotency_key: String,
    reason: Option<String>,
    attempts: Vec<AttemptView>,
}

#[derive(Debug, Serialize)]
struct AttemptView {
    number: i64,
    started_at: String,
    finished_at: Option<String>,
    outcome: Option<String>,
    detail: Option<String>,
}

impl From<DeliveryRow> for DeliveryView {
    fn from(row: DeliveryRow) -> Self {
        let waits = matches!(row.state.as_str(), "pending" | "working");
        Self {
            id: row.id.0,
            ticket: row.ticket.0,
            message_id: row.message.0,
            next_try_at: waits.then(|| time(row.run_at)),
            state: row.state,
            reason: row.reason,
            created_at: time(row.created_at),
            finished_at: row.finished_at.map(time),
            parts: None,
        }
    }
}

impl DeliveryView {
    /// The delivery with its parts and what was tried.
    #[must_use]
    pub fn with_parts(mut self, parts: Vec<PartRow>, attempts: &[AttemptRow]) -> Self {
        let parts = parts
            .into_iter()
            .map(|part| PartView {
                attempts: attempts
                    .iter()
                    .filter(|attempt| attempt.part == part.number)
                    .map(AttemptView::from)
                    .collect(),
                number: part.number,
                state: part.state.as_str(),
                external_id: part.external_id,
                idempotency_key: part.idempotency_key,
                reason: part.reason,
            })
            .collect();
        self.parts = Some(parts);
        self
    }
}

impl From<&AttemptRow> for AttemptView {
    fn from(row: &AttemptRow) -> Self {
        Self {
            number: row.number,
            started_at: time(row.started_at),
            finished_at: row.finished_at.map(time),
            outcome: row.outcome.clone(),
            detail: row.detail.clone(),
        }
    }
}
