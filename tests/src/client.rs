//! One actor at the HTTP interface: a token, or none.

use anyhow::Context;
use reqwest::{Method, header::HeaderMap};
use serde_json::Value;
use std::sync::Once;
use std::time::Duration;

/// An HTTP client for loopback: no proxy, no redirects, answers awaited for a minute.
pub fn http() -> reqwest::Client {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| {
        // A second installation is refused and changes nothing.
        drop(rustls::crypto::ring::default_provider().install_default());
    });
    reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(Duration::from_secs(60))
        .build()
        .expect("an HTTP client without special settings is always built")
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    /// "GET /api/v1/whoami", for messages.
    pub asked: String,
    /// HTTP status.
    pub status: u16,
    /// Response headers.
    pub headers: HeaderMap,
    /// The body as text.
    pub text: String,
    /// The body as JSON; null when it is not JSON.
    pub json: Value,
}

impl Answer {
    /// Reads a response to its end.
    pub async fn read(asked: String, response: reqwest::Response) -> anyhow::Result<Self> {
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let text = response.text().await.with_context(|| format!("{asked}: reading the body"))?;
        let json = serde_json::from_str(&text).unwrap_or(Value::Null);
        Ok(Self { asked, status, headers, text, json })
    }

    /// True for 2xx.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The JSON body of a 2xx answer, else an error that shows what came.
    pub fn accepted(self) -> anyhow::Result<Value> {
        anyhow::ensure!(
            self.is_success(),
            "{} answered {}: {}",
            self.asked,
            self.status,
            self.text
        );
        Ok(self.json)
    }

    /// A header as text, empty when absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// Ends the test unless the status is the expected one.
    #[track_caller]
    pub fn expect_status(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{} answered {}: {}", self.asked, self.status, self.text);
        self
    }

    /// Ends the test unless this is a problem document with this status and code.
    #[track_caller]
    pub fn expect_problem(self, status: u16, code: &str) -> Self {
        let answer = self.expect_status(status);
        assert_eq!(
            answer.header("content-type"),
            "application/problem+json",
            "{} answered {}",
            answer.asked,
            answer.text
        );
        assert_eq!(answer.json["code"], code, "{} answered {}", answer.asked, answer.text);
        assert_eq!(answer.json["status"], status, "{} answered {}", answer.asked, answer.text);
        answer
    }
}

/// One actor: a base URL and a token, or none.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    token: Option<String>,
}

impl Client {
    /// An actor with a token.
    pub fn new(base: &str, token: &str) -> Self {
        Self { http: http(), base: base.to_owned(), token: Some(token.to_owned()) }
    }

    /// An actor without a token.
    pub fn anonymous(base: &str) -> Self {
        Self { http: http(), base: base.to_owned(), token: None }
    }

    /// The same actor at another server, or at the same one after it was started again.
    pub fn at(&self, base: &str) -> Self {
        Self { http: self.http.clone(), base: base.to_owned(), token: self.token.clone() }
    }

    /// The server's base URL.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// A request that is not sent yet, for what the shorter forms do not cover.
    pub fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.base));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// Sends a request with an optional JSON body. An error means that no answer came.
    pub async fn attempt(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<Answer> {
        let asked = format!("{method} {path}");
        let mut request = self.request(method, path);
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.with_context(|| format!("{asked}: no answer"))?;
        Answer::read(asked, response).await
    }

    /// [`Self::attempt`] where an answer must come, whatever it is.
    pub async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Answer {
        match self.attempt(method, path, body).await {
            Ok(answer) => answer,
            Err(error) => panic!("{error:#}"),
        }
    }

    /// The body of a GET that must succeed.
    pub async fn get(&self, path: &str) -> Value {
        self.must(Method::GET, path, None).await
    }

    /// The body of a POST that must succeed.
    pub async fn post(&self, path: &str, body: Value) -> Value {
        self.must(Method::POST, path, Some(&body)).await
    }

    /// The body of a PATCH that must succeed.
    pub async fn patch(&self, path: &str, body: Value) -> Value {
        self.must(Method::PATCH, path, Some(&body)).await
    }

    /// The rows of one page of a list.
    pub async fn list(&self, path: &str) -> Vec<Value> {
        let page = self.get(path).await;
        match page["data"].as_array() {
            Some(rows) => rows.clone(),
            None => panic!("GET {path} answered no list: {page}"),
        }
    }

    /// The rows of all pages of a list.
    pub async fn list_all(&self, path: &str) -> Vec<Value> {
        let separator = if path.contains('?') { '&' } else { '?' };
        let first = format!("{path}{separator}limit=100");
        let mut rows = Vec::new();
        let mut next = first.clone();
        loop {
            let page = self.get(&next).await;
            match page["data"].as_array() {
                Some(data) => rows.extend(data.iter().cloned()),
                None => panic!("GET {next} answered no list: {page}"),
            }
            match page["next_cursor"].as_str() {
                Some(cursor) => next = format!("{first}&cursor={cursor}"),
                None => return rows,
            }
        }
    }

    /// All events after a number. (Their list always hands out a cursor, so it ends at an empty
    /// page.)
    pub async fn events_after(&self, mut after: i64) -> Vec<Value> {
        let mut events = Vec::new();
        loop {
            let page = self.list(&format!("/api/v1/events?after={after}&limit=100")).await;
            let Some(last) = page.last() else { return events };
            after = number_of(last);
            events.extend(page);
        }
    }

    /// Uploads a component.
    pub async fn upload(&self, component: Vec<u8>) -> anyhow::Result<Answer> {
        let asked = format!("POST /api/v1/plugins ({} bytes)", component.len());
        let request = self.request(Method::POST, "/api/v1/plugins");
        let request = request.header("content-type", "application/wasm").body(component);
        let response = request.send().await.with_context(|| format!("{asked}: no answer"))?;
        Answer::read(asked, response).await
    }

    async fn must(&self, method: Method, path: &str, body: Option<&Value>) -> Value {
        let answer = self.call(method, path, body).await;
        match answer.accepted() {
            Ok(json) => json,
            Err(error) => panic!("{error:#}"),
        }
    }
}

/// The number of an event.
pub fn number_of(event: &Value) -> i64 {
    match event["metadata"]["number"].as_i64() {
        Some(number) => number,
        None => panic!("an event without a number: {event}"),
    }
}
