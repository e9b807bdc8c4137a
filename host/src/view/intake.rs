//! Intakes: raw requests as an operator may see them, with the connection's secrets struck out.

use super::time;
use crate::store::intake::IntakeRow;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::Value;

const STRUCK_OUT: &str = "***";
/// A header with one of these in its name carries a credential or what is made of one.
const CREDENTIALS: [&str; 6] = ["authorization", "cookie", "key", "secret", "signature", "token"];

/// Strikes out the secrets of one connection.
#[derive(Default)]
pub struct Mask {
    /// The longest first, so that no secret hides the rest of another.
    values: Vec<String>,
}

impl Mask {
    /// Strikes out these values.
    pub fn new(mut values: Vec<String>) -> Self {
        values.retain(|value| !value.is_empty());
        values.sort_by_key(|value| std::cmp::Reverse(value.len()));
        Self { values }
    }

    fn text(&self, text: &str) -> String {
        self.values.iter().fold(text.to_owned(), |text, value| text.replace(value, STRUCK_OUT))
    }

    fn header(&self, name: &str, value: &str) -> String {
        if CREDENTIALS.iter().any(|word| name.contains(word)) {
            return STRUCK_OUT.to_owned();
        }
        self.text(value)
    }

    fn bytes(&self, bytes: Vec<u8>) -> Vec<u8> {
        self.values.iter().fold(bytes, |bytes, value| replaced(&bytes, value.as_bytes()))
    }

    fn json(&self, value: Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.text(&text)),
            Value::Array(items) => items.into_iter().map(|item| self.json(item)).collect(),
            Value::Object(entries) => {
                entries.into_iter().map(|(key, value)| (key, self.json(value))).collect()
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => value,
        }
    }
}

fn replaced(bytes: &[u8], needle: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((first, tail)) = rest.split_first() {
        if let Some(after) = rest.strip_prefix(needle) {
            out.extend_from_slice(STRUCK_OUT.as_bytes());
            rest = after;
        } else {
            out.push(*first);
            rest = tail;
        }
    }
    out
}

/// An intake.
#[derive(Debug, Serialize)]
pub struct IntakeView {
    id: i64,
    connection_id: i64,
    state: String,
    lane: String,
    request_id: Option<String>,
    method: String,
    path: String,
    attempts: i64,
    reason: Option<String>,
    received_at: String,
    finished_at: Option<String>,
    /// When it is worked next; null when it is over.
    next_try_at: Option<String>,
    /// Only where one intake was asked for.
    #[serde(flatten)]
    detail: Option<Detail>,
}

#[derive(Debug, Serialize)]
struct Detail {
    url: String,
    headers: Vec<(String, String)>,
    body: String,
    /// `utf-8` or `base64`.
    body_encoding: &'static str,
    /// Log lines of the last try.
    log: Value,
}

impl IntakeView {
    /// The intake in a list, without what was sent.
    pub fn new(row: IntakeRow, mask: &Mask) -> Self {
        let waits = matches!(row.state.as_str(), "pending" | "working" | "held");
        Self {
            id: row.id.0,
            connection_id: row.connection.0,
            next_try_at: waits.then(|| time(row.run_at)),
            state: row.state,
            lane: mask.text(&row.lane),
            request_id: row.request_id.map(|id| mask.text(&id)),
            method: row.request.method,
            path: mask.text(&row.request.path),
            attempts: row.attempts,
            reason: row.reason.map(|reason| mask.text(&reason)),
            received_at: time(row.request.received_at),
            finished_at: row.finished_at.map(time),
            detail: None,
        }
    }

    /// The intake with what was sent.
    pub fn with_request(mut row: IntakeRow, mask: &Mask) -> Self {
        let body = mask.bytes(std::mem::take(&mut row.request.body));
        let (body, body_encoding) = match String::from_utf8(body) {
            Ok(text) => (text, "utf-8"),
            Err(error) => (STANDARD.encode(error.as_bytes()), "base64"),
        };
        let log = row.log.take().map_or_else(
            || Value::Array(Vec::new()),
            |text| mask.json(serde_json::from_str(&text).unwrap_or(Value::String(text))),
        );
        let detail = Detail {
            url: mask.text(&row.request.url),
            headers: row
                .request
                .headers
                .iter()
                .map(|(name, value)| (name.clone(), mask.header(name, value)))
                .collect(),
            body,
            body_encoding,
            log,
        };
        Self { detail: Some(detail), ..Self::new(row, mask) }
    }
}

#[cfg(test)]
mod tests {
    use super::{IntakeView, Mask};
    use crate::domain::exchange::{HttpRequest, UnixMs};
    use crate::domain::id::{AccountId, ConnectionId, IntakeId};
    use crate::store::intake::IntakeRow;
    use serde_json::json;

    fn row(body: &[u8]) -> IntakeRow {
        let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        IntakeRow {
            id: IntakeId(5),
            account: AccountId(1),
            connection: ConnectionId(2),
            state: "dead".to_owned(),
            lane: String::new(),
            request_id: None,
            request: HttpRequest {
                method: "POST".to_owned(),
                url: "https://desk.example/hook?t=hush".to_owned(),
                path: String::new(),
                headers: vec![
                    header("x-slack-signature", "v0=a2114d57"),
                    header("x-other", "says hush hush-hush"),
                ],
                body: body.to_vec(),
                received_at: UnixMs(0),
            },
            attempts: 1,
            run_at: UnixMs(0),
            reason: Some("hush".to_owned()),
            log: Some("[{\"line\":\"a hush b\"}]".to_owned()),
            finished_at: Some(UnixMs(1)),
        }
    }

    #[test]
    fn no_secret_and_no_signature_is_shown() {
        let mask = Mask::new(vec!["hush".to_owned(), "hush-hush".to_owned(), String::new()]);
        let shown = IntakeView::with_request(row(b"{\"token\":\"hush\"}"), &mask);
        let shown = serde_json::to_value(shown).unwrap();
        assert_eq!(
            shown["headers"],
            json!([["x-slack-signature", "***"], ["x-other", "says *** ***"]])
        );
        assert_eq!(shown["body"], "{\"token\":\"***\"}");
        assert_eq!(shown["log"], json!([{"line": "a *** b"}]));
        assert!(!shown.to_string().contains("hush"), "{shown}");
    }

    #[test]
    fn bytes_that_are_no_text_are_shown_as_base64() {
        let mask = Mask::new(vec!["hush".to_owned()]);
        let shown = IntakeView::with_request(row(b"\xffhush\xfe"), &mask);
        let shown = serde_json::to_value(shown).unwrap();
        assert_eq!(
            (&shown["body"], &shown["body_encoding"]),
            (&json!("/yoqKv4="), &json!("base64"))
        );
    }

    #[test]
    fn a_list_shows_nothing_of_what_was_sent() {
        let shown = serde_json::to_value(IntakeView::new(row(b"x"), &Mask::default())).unwrap();
        assert!(shown.get("body").is_none() && shown.get("headers").is_none(), "{shown}");
    }
}
