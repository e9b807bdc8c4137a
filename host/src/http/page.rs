//! Lists in pages: opaque cursors, limits, and queries that know every parameter.

use super::problem::{Code, Problem};
use crate::view::List;
use axum::extract::{FromRequestParts, Query};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Uri;
use http::request::Parts;
use serde::de::DeserializeOwned;
use std::fmt::Display;
use std::str::FromStr;
use url::form_urlencoded;

const DEFAULT_LIMIT: usize = 25;
const MAX_LIMIT: usize = 100;
/// The version of the cursors' text.
const VERSION: &str = "1";

/// Which list a cursor belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Connections,
    Deliveries,
    Events,
    Inboxes,
    Intakes,
    Messages,
    Plugins,
    Statuses,
    Tickets,
    Users,
}

impl Kind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::Deliveries => "deliveries",
            Self::Events => "events",
            Self::Inboxes => "inboxes",
            Self::Intakes => "intakes",
            Self::Messages => "messages",
            Self::Plugins => "plugins",
            Self::Statuses => "statuses",
            Self::Tickets => "tickets",
            Self::Users => "users",
        }
    }
}

/// No parameters but those of the page.
#[derive(Clone, Copy, Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NoFilter {}

/// The query of a list: which page, and which of its things.
#[derive(Debug)]
pub(super) struct Asked<F> {
    pub(super) page: Page,
    pub(super) filter: F,
}

/// Which page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Page {
    limit: usize,
    cursor: Option<String>,
}

impl<F: DeserializeOwned, S: Sync> FromRequestParts<S> for Asked<F> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let mut page = Page { limit: DEFAULT_LIMIT, cursor: None };
        let mut rest = form_urlencoded::Serializer::new(String::new());
        for (name, value) in
            form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes())
        {
            match name.as_ref() {
                _ if value.is_empty() => {}
                "limit" => page.limit = limit(&value)?,
                "cursor" => page.cursor = Some(value.into_owned()),
                _ => {
                    rest.append_pair(&name, &value);
                }
            }
        }
        Ok(Self { page, filter: filter(&rest.finish())? })
    }
}

fn limit(text: &str) -> Result<usize, Problem> {
    text.parse().ok().filter(|limit| (1..=MAX_LIMIT).contains(limit)).ok_or_else(|| {
        let detail = format!("limit: expected 1 to {MAX_LIMIT}, found {text:?}");
        Problem::new(Code::InvalidQuery, detail)
    })
}

fn filter<F: DeserializeOwned>(query: &str) -> Result<F, Problem> {
    let invalid = |detail: String| Problem::new(Code::InvalidQuery, detail);
    let uri: Uri = format!("/?{query}").parse().map_err(|_| invalid("not a query".to_owned()))?;
    let Query(filter) = Query::try_from_uri(&uri).map_err(|error| {
        invalid(
            std::error::Error::source(&error)
                .map_or_else(|| error.to_string(), ToString::to_string),
        )
    })?;
    Ok(filter)
}

impl Page {
    /// How many rows to ask for: one more than are shown, to see whether more follow.
    pub(super) fn rows(&self) -> i64 {
        i64::try_from(self.limit + 1).unwrap_or(i64::MAX)
    }

    /// Where the page begins; `None` for the first.
    pub(super) fn position<T: FromStr>(&self, kind: Kind) -> Result<Option<T>, Problem> {
        let Some(cursor) = &self.cursor else { return Ok(None) };
        let position = URL_SAFE_NO_PAD
            .decode(cursor)
            .ok()
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .and_then(|text| {
                let text = text.strip_prefix(VERSION)?.strip_prefix(':')?;
                text.strip_prefix(kind.as_str())?.strip_prefix(':')?.parse().ok()
            });
        position.map(Some).ok_or_else(|| {
            let detail = format!("expected a next_cursor of the list of {}", kind.as_str());
            Problem::new(Code::InvalidCursor, detail)
        })
    }

    /// The page out of its rows, which are one more when others follow. `at` is where a row stands.
    pub(super) fn list<R, T, D: Display>(
        &self,
        kind: Kind,
        mut rows: Vec<R>,
        at: impl Fn(&R) -> D,
        show: impl FnMut(R) -> T,
    ) -> List<T> {
        let more = rows.len() > self.limit;
        rows.truncate(self.limit);
        let next_cursor = rows
            .last()
            .filter(|_| more)
            .map(|row| URL_SAFE_NO_PAD.encode(format!("{VERSION}:{}:{}", kind.as_str(), at(row))));
        List { data: rows.into_iter().map(show).collect(), next_cursor }
    }
}

#[cfg(test)]
mod tests {
    use super::{Asked, Kind, NoFilter, Page};
    use crate::http::problem::{Code, Problem};
    use axum::extract::FromRequestParts;
    use http::Request;

    fn page(limit: usize, cursor: Option<String>) -> Page {
        Page { limit, cursor }
    }

    async fn asked(query: &str) -> Result<Asked<NoFilter>, Problem> {
        let (mut parts, ()) =
            Request::builder().uri(format!("/x?{query}")).body(()).unwrap().into_parts();
        Asked::from_request_parts(&mut parts, &()).await
    }

    #[test]
    fn a_cursor_leads_to_the_next_page_of_its_own_list() {
        let first = page(2, None).list(Kind::Tickets, vec![9, 8, 7], |n| *n, |n| n);
        assert_eq!(first.data, [9, 8]);
        let second = page(2, first.next_cursor);
        assert_eq!(second.position::<i64>(Kind::Tickets).unwrap(), Some(8));
        let error = second.position::<i64>(Kind::Intakes).unwrap_err();
        assert_eq!(error.code(), Code::InvalidCursor);
        let last = second.list(Kind::Tickets, vec![7], |n| *n, |n| n);
        assert_eq!(last.next_cursor, None);
    }

    #[test]
    fn what_is_no_cursor_is_refused() {
        for text in ["nonsense", "", "MTp0aWNrZXRzOng", "MDp0aWNrZXRzOjE", "ÿ"] {
            let error = page(2, Some(text.to_owned())).position::<i64>(Kind::Tickets).unwrap_err();
            assert_eq!(error.code(), Code::InvalidCursor, "{text}");
        }
    }

    #[tokio::test]
    async fn limits_and_unknown_parameters_are_refused() {
        assert_eq!(asked("limit=100").await.unwrap().page.rows(), 101);
        assert_eq!(asked("").await.unwrap().page.rows(), 26);
        for query in ["limit=0", "limit=101", "limit=x", "no_such=1"] {
            assert_eq!(asked(query).await.unwrap_err().code(), Code::InvalidQuery, "{query}");
        }
    }
}
