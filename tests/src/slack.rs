//! A small Slack over real HTTP: the provider of the tests, of the demo and of the figures.
//!
//! It takes what a bot sends (`chat.postMessage` and its neighbours), keeps it, fails on request
//! in the ways that a provider fails, and delivers signed events in the shape of Slack's Events
//! API. It checks the bearer token on every call, because the real one does. It is not a
//! simulation of Slack: what no test needs is not there.
//!
//! For the demo, `POST /say` acts as a person who types a message, and `GET /channels/{id}` shows
//! what stands in a channel.

use crate::client::{self, Answer};
use anyhow::Context;
use axum::body::{Body, to_bytes};
use axum::extract::{Extension, Path, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use axum::{Json, Router};
use hmac::{Hmac, KeyInit, Mac};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use serde_json::{Value, json};
use sha2::Sha256;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::future::pending;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore};
use tokio::task::{JoinHandle, JoinSet};

/// The secret that signs events.
pub const SIGNING_SECRET: &str = "0d1c2b3a495867768594a3b2c1d0e0f1";
/// The token that a bot presents.
pub const BOT_TOKEN: &str = "xoxb-2718281828-tidegate";
/// The workspace's id.
pub const TEAM: &str = "T0HARBOUR";
/// The channel that is used where none is named.
pub const CHANNEL: &str = "C0SUPPORT";
/// The person who speaks where none is named.
pub const PERSON: &str = "U0ANA";

const BODY_LIMIT_BYTES: usize = 4 << 20;

/// How a call of the Web API fails.
#[derive(Clone, Debug)]
pub enum Fault {
    /// 429 with a Retry-After of so many seconds.
    RateLimited(u32),
    /// 200 with `ok: false` and this error.
    Refused(&'static str),
    /// This status with a body that is not JSON.
    Status(u16),
    /// Done, but the answer never comes.
    Hang,
    /// Done, but answered only when the gate opens.
    Until(Gate),
    /// The connection closes before the body was read: not done.
    CloseBeforeReading,
    /// The connection closes instead of an answer: done.
    CloseAfterReading,
}

/// Something closed until it is opened, once.
#[derive(Clone, Debug)]
pub struct Gate(Arc<Semaphore>);

impl Gate {
    /// A closed gate.
    pub fn closed() -> Self {
        Self(Arc::new(Semaphore::new(0)))
    }

    /// Opens it for all who wait and all who come.
    pub fn open(&self) {
        self.0.close();
    }

    async fn pass(&self) {
        // The semaphore has no permits: acquiring ends when it is closed, with an error.
        drop(self.0.acquire().await);
    }
}

/// One call of the Web API, as it arrived.
#[derive(Clone, Debug)]
pub struct Call {
    /// Such as "chat.postMessage".
    pub method: String,
    /// Its arguments, from the query, a form or JSON.
    pub arguments: Value,
}

/// One message that a bot posted.
#[derive(Clone, Debug)]
pub struct Post {
    /// Channel id.
    pub channel: String,
    /// Its id in the channel.
    pub ts: String,
    /// The message that it answers.
    pub thread_ts: Option<String>,
    /// Its text as first posted.
    pub text: String,
}

/// One event as Slack wraps it.
#[derive(Clone, Debug)]
pub struct Envelope {
    /// The whole JSON document.
    pub body: Value,
}

impl Envelope {
    /// The id of the message that the event is about.
    pub fn ts(&self) -> &str {
        self.body["event"]["ts"].as_str().unwrap_or_default()
    }

    /// The message's text.
    pub fn text(&self) -> &str {
        self.body["event"]["text"].as_str().unwrap_or_default()
    }

    /// The bytes that are signed and sent.
    pub fn bytes(&self) -> Vec<u8> {
        self.body.to_string().into_bytes()
    }
}

/// The signature of a body: `v0=` and the HMAC-SHA256 of version, timestamp and body.
pub fn signature(secret: &str, timestamp: &str, body: &[u8]) -> String {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes keys of any length");
    mac.update(b"v0:");
    mac.update(timestamp.as_bytes());
    mac.update(b":");
    mac.update(body);
    format!("v0={}", hex::encode(mac.finalize().into_bytes()))
}

/// The headers of a genuine delivery that is sent now.
pub fn signed_headers(secret: &str, body: &[u8]) -> Vec<(String, String)> {
    let timestamp = (micros_now() / 1_000_000).to_string();
    let signature = signature(secret, &timestamp, body);
    vec![
        ("content-type".into(), "application/json".into()),
        ("user-agent".into(), "Slackbot 1.0 (+https://api.slack.com/robots)".into()),
        ("x-slack-request-timestamp".into(), timestamp),
        ("x-slack-signature".into(), signature),
    ]
}

/// Sends bytes with headers to a webhook, as they are.
pub async fn deliver(
    http: &reqwest::Client,
    url: &str,
    headers: &[(String, String)],
    body: Vec<u8>,
) -> anyhow::Result<Answer> {
    let mut request = http.post(url).body(body);
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let asked = format!("POST {url}");
    let response = request.send().await.with_context(|| format!("{asked}: no answer"))?;
    Answer::read(asked, response).await
}

/// The running stand-in. It stops when it is dropped.
pub struct Slack {
    address: SocketAddr,
    shared: Arc<Shared>,
    serving: JoinHandle<()>,
}

impl Slack {
    /// Starts on a free port.
    pub async fn start() -> anyhow::Result<Self> {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    /// Starts at an address.
    pub async fn start_at(address: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(address).await.with_context(|| {
            format!("the provider cannot listen on {address}: the port is taken; stop what uses it")
        })?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::new(address));
        let serving = tokio::spawn(serve(listener, routes(shared.clone())));
        Ok(Self { address, shared, serving })
    }

    /// Stops; its port is free when this returns.
    pub async fn stop(mut self) {
        self.serving.abort();
        // It was cancelled: that is what it says.
        drop((&mut self.serving).await);
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The value of the plugin's setting `api_url`.
    pub fn api_url(&self) -> String {
        format!("http://{}/api", self.address)
    }

    /// Names the webhook that events go to.
    pub fn point_at(&self, webhook_url: &str) {
        self.shared.lock().webhook_url = Some(webhook_url.to_owned());
    }

    /// The webhook that events go to.
    pub fn webhook_url(&self) -> String {
        self.shared.lock().webhook_url.clone().unwrap_or_default()
    }

    /// Makes a person known to `users.info`.
    pub fn add_user(&self, id: &str, name: &str) {
        self.shared.lock().users.insert(id.to_owned(), name.to_owned());
    }

    /// Makes a file known, to be downloaded with the bearer.
    pub fn add_file(&self, id: &str, name: &str, content_type: &str, content: &[u8]) {
        let file = File {
            name: name.to_owned(),
            content_type: content_type.to_owned(),
            content: content.to_vec(),
        };
        self.shared.lock().files.insert(id.to_owned(), file);
    }

    /// Lets the next `times` calls of a method fail, after those that already shall.
    pub fn fail_next(&self, method: &str, times: usize, fault: &Fault) {
        let mut inner = self.shared.lock();
        let queue = inner.faults.entry(method.to_owned()).or_default();
        queue.extend(std::iter::repeat_n(fault.clone(), times));
    }

    /// A person writes in a channel.
    pub fn message(&self, channel: &str, user: &str, text: &str) -> Envelope {
        self.shared.person_writes(channel, user, text, None)
    }

    /// A person answers in a thread.
    pub fn thread_reply(&self, channel: &str, user: &str, text: &str, thread: &str) -> Envelope {
        self.shared.person_writes(channel, user, text, Some(thread))
    }

    /// A person changes what they wrote.
    pub fn edit(&self, original: &Envelope, text: &str) -> Envelope {
        let before = &original.body["event"];
        let ts = self.shared.lock().next_ts();
        let mut message = before.clone();
        message["text"] = text.into();
        message["edited"] = json!({"user": before["user"], "ts": ts});
        self.shared.envelope(json!({
            "type": "message", "subtype": "message_changed", "hidden": true,
            "channel": before["channel"], "channel_type": "channel", "ts": ts, "event_ts": ts,
            "message": message, "previous_message": before,
        }))
    }

    /// A person deletes what they wrote.
    pub fn delete(&self, original: &Envelope) -> Envelope {
        let before = &original.body["event"];
        let ts = self.shared.lock().next_ts();
        self.shared.envelope(json!({
            "type": "message", "subtype": "message_deleted", "hidden": true,
            "channel": before["channel"], "channel_type": "channel", "ts": ts, "event_ts": ts,
            "deleted_ts": before["ts"], "previous_message": before,
        }))
    }

    /// A person reacts to a message; `kind` is `reaction_added` or `reaction_removed`.
    pub fn reaction(
        &self,
        kind: &str,
        channel: &str,
        ts: &str,
        user: &str,
        name: &str,
    ) -> Envelope {
        let event_ts = self.shared.lock().next_ts();
        self.shared.envelope(json!({
            "type": kind, "user": user, "reaction": name, "item_user": user,
            "item": {"type": "message", "channel": channel, "ts": ts}, "event_ts": event_ts,
        }))
    }

    /// A person shares a file that was made known with [`Self::add_file`].
    pub fn file_share(&self, channel: &str, user: &str, text: &str, file: &str) -> Envelope {
        let mut envelope = self.shared.person_writes(channel, user, text, None);
        let inner = self.shared.lock();
        let Some(known) = inner.files.get(file) else { panic!("no file {file} was added") };
        let url = format!("http://{}/files/{file}/{}", self.address, known.name);
        envelope.body["event"]["subtype"] = "file_share".into();
        envelope.body["event"]["files"] = json!([{
            "id": file, "name": known.name, "title": known.name, "mimetype": known.content_type,
            "size": known.content.len(), "mode": "hosted", "is_external": false,
            "url_private": url, "url_private_download": url,
        }]);
        envelope
    }

    /// Slack's echo of a message that the bot itself posted.
    pub fn echo(&self, post: &Post) -> Envelope {
        let mut event = json!({
            "type": "message", "user": "U0TIDEGATE", "bot_id": "B0TIDEGATE", "app_id": "A0TIDEGATE",
            "text": post.text, "ts": post.ts, "event_ts": post.ts,
            "channel": post.channel, "channel_type": "channel",
        });
        if let Some(thread) = &post.thread_ts {
            event["thread_ts"] = thread.as_str().into();
        }
        self.shared.envelope(event)
    }

    /// The question with which Slack proves a webhook's URL.
    pub fn url_verification(&self, challenge: &str) -> Envelope {
        let body = json!({
            "token": "unused-verification-token", "challenge": challenge,
            "type": "url_verification",
        });
        Envelope { body }
    }

    /// Signs an event now and delivers it. An error means that no answer came.
    pub async fn try_deliver(&self, envelope: &Envelope) -> anyhow::Result<Answer> {
        let body = envelope.bytes();
        let headers = signed_headers(SIGNING_SECRET, &body);
        deliver(&self.shared.http, &self.webhook_url(), &headers, body).await
    }

    /// Signs an event now and delivers it; an answer must come.
    pub async fn deliver(&self, envelope: &Envelope) -> Answer {
        match self.try_deliver(envelope).await {
            Ok(answer) => answer,
            Err(error) => panic!("{error:#}"),
        }
    }

    /// Delivers bytes with headers of the caller's choice; an answer must come.
    pub async fn deliver_raw(&self, headers: &[(String, String)], body: &[u8]) -> Answer {
        match deliver(&self.shared.http, &self.webhook_url(), headers, body.to_vec()).await {
            Ok(answer) => answer,
            Err(error) => panic!("{error:#}"),
        }
    }

    /// Everything that was posted, in order.
    pub fn posts(&self) -> Vec<Post> {
        self.shared.lock().posts.clone()
    }

    /// What was posted with exactly this text.
    pub fn posts_of(&self, text: &str) -> Vec<Post> {
        self.posts().into_iter().filter(|post| post.text == text).collect()
    }

    /// How often each text was posted.
    pub fn post_counts(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for post in &self.shared.lock().posts {
            *counts.entry(post.text.clone()).or_default() += 1;
        }
        counts
    }

    /// The calls of one method, in order, also those that failed after being read.
    pub fn calls(&self, method: &str) -> Vec<Call> {
        let inner = self.shared.lock();
        inner.calls.iter().filter(|call| call.method == method).cloned().collect()
    }

    /// What stands in a channel, as `GET /channels/{id}` answers.
    pub fn transcript(&self, channel: &str) -> Value {
        self.shared.transcript(channel)
    }
}

impl Drop for Slack {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

struct Shared {
    address: SocketAddr,
    http: reqwest::Client,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    last_ts_us: u128,
    events: u64,
    webhook_url: Option<String>,
    users: HashMap<String, String>,
    files: HashMap<String, File>,
    faults: HashMap<String, VecDeque<Fault>>,
    calls: Vec<Call>,
    posts: Vec<Post>,
    channels: HashMap<String, Vec<Line>>,
}

struct File {
    name: String,
    content_type: String,
    content: Vec<u8>,
}

/// One line of a channel: what a person or the bot said.
struct Line {
    ts: String,
    thread_ts: Option<String>,
    user: Option<String>,
    text: String,
    edited: bool,
    deleted: bool,
    reactions: Vec<String>,
}

impl Inner {
    /// A new id for a message: seconds and microseconds, always growing.
    fn next_ts(&mut self) -> String {
        self.last_ts_us = micros_now().max(self.last_ts_us + 1);
        format!("{}.{:06}", self.last_ts_us / 1_000_000, self.last_ts_us % 1_000_000)
    }

    fn line(&mut self, channel: &str, ts: &str) -> Option<&mut Line> {
        self.channels.get_mut(channel)?.iter_mut().find(|line| line.ts == ts && !line.deleted)
    }
}

impl Shared {
    fn new(address: SocketAddr) -> Self {
        let users = [(PERSON, "Ana Lima"), ("U0BEN", "Ben Okafor")];
        let inner = Inner {
            users: users.map(|(id, name)| (id.to_owned(), name.to_owned())).into(),
            ..Inner::default()
        };
        Self { address, http: client::http(), inner: Mutex::new(inner) }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn envelope(&self, event: Value) -> Envelope {
        let mut inner = self.lock();
        inner.events += 1;
        let id = format!("Ev{:X}{:04X}", micros_now(), inner.events);
        let body = json!({
            "token": "unused-verification-token", "team_id": TEAM, "api_app_id": "A0TIDEGATE",
            "event": event, "type": "event_callback", "event_id": id,
            "event_time": u64::try_from(micros_now() / 1_000_000).unwrap_or_default(),
            "authorizations": [{
                "enterprise_id": null, "team_id": TEAM, "user_id": "U0TIDEGATE", "is_bot": true,
            }],
        });
        Envelope { body }
    }

    fn person_writes(
        &self,
        channel: &str,
        user: &str,
        text: &str,
        thread: Option<&str>,
    ) -> Envelope {
        let ts = {
            let mut inner = self.lock();
            let ts = inner.next_ts();
            let line = Line::new(&ts, thread, Some(user), text);
            inner.channels.entry(channel.to_owned()).or_default().push(line);
            ts
        };
        let mut event = json!({
            "type": "message", "user": user, "text": text, "ts": ts, "event_ts": ts,
            "channel": channel, "channel_type": "channel", "team": TEAM,
        });
        if let Some(thread) = thread {
            event["thread_ts"] = thread.into();
        }
        self.envelope(event)
    }

    fn transcript(&self, channel: &str) -> Value {
        let inner = self.lock();
        let lines = inner.channels.get(channel).map(Vec::as_slice).unwrap_or_default();
        let messages: Vec<Value> = lines.iter().map(|line| line.shown(&inner.users)).collect();
        json!({"channel": channel, "messages": messages})
    }

    /// Does what a method says and returns the answer of success, or `ok: false`.
    fn perform(&self, method: &str, arguments: &Value) -> Value {
        let argument = |name: &str| arguments[name].as_str().unwrap_or_default().to_owned();
        let channel = argument("channel");
        let mut inner = self.lock();
        match method {
            "auth.test" => json!({
                "ok": true, "url": format!("http://{}/", self.address), "team": "Harbour",
                "user": "tidegate", "team_id": TEAM, "user_id": "U0TIDEGATE", "bot_id": "B0TIDEGATE",
            }),
            "users.info" => {
                let id = argument("user");
                match inner.users.get(&id) {
                    None => refusal("user_not_found"),
                    Some(name) => json!({"ok": true, "user": {
                        "id": id, "team_id": TEAM, "name": name.to_lowercase().replace(' ', "."),
                        "real_name": name, "is_bot": false,
                        "profile": {"real_name": name, "display_name": name},
                    }}),
                }
            }
            "chat.postMessage" => {
                let text = argument("text");
                if channel.is_empty() {
                    return refusal("channel_not_found");
                }
                if text.is_empty() {
                    return refusal("no_text");
                }
                let ts = inner.next_ts();
                let thread_ts = arguments["thread_ts"].as_str().map(str::to_owned);
                let line = Line::new(&ts, thread_ts.as_deref(), None, &text);
                inner.channels.entry(channel.clone()).or_default().push(line);
                let post = Post { channel: channel.clone(), ts: ts.clone(), thread_ts, text };
                let message = json!({
                    "type": "message", "user": "U0TIDEGATE", "bot_id": "B0TIDEGATE",
                    "text": post.text, "ts": ts,
                });
                inner.posts.push(post);
                json!({"ok": true, "channel": channel, "ts": ts, "message": message})
            }
            "chat.update" => match inner.line(&channel, &argument("ts")) {
                None => refusal("message_not_found"),
                Some(line) => {
                    line.text = argument("text");
                    line.edited = true;
                    json!({"ok": true, "channel": channel, "ts": line.ts, "text": line.text})
                }
            },
            "chat.delete" => match inner.line(&channel, &argument("ts")) {
                None => refusal("message_not_found"),
                Some(line) => {
                    line.deleted = true;
                    json!({"ok": true, "channel": channel, "ts": line.ts})
                }
            },
            "reactions.add" | "reactions.remove" => {
                let name = argument("name");
                match inner.line(&channel, &argument("timestamp")) {
                    None => refusal("message_not_found"),
                    Some(line) if method == "reactions.add" => line.add_reaction(name),
                    Some(line) => line.remove_reaction(&name),
                }
            }
            _ => refusal("unknown_method"),
        }
    }
}

impl Line {
    fn new(ts: &str, thread_ts: Option<&str>, user: Option<&str>, text: &str) -> Self {
        Self {
            ts: ts.to_owned(),
            thread_ts: thread_ts.map(str::to_owned),
            user: user.map(str::to_owned),
            text: text.to_owned(),
            edited: false,
            deleted: false,
            reactions: Vec::new(),
        }
    }

    fn add_reaction(&mut self, name: String) -> Value {
        if self.reactions.contains(&name) {
            return refusal("already_reacted");
        }
        self.reactions.push(name);
        json!({"ok": true})
    }

    fn remove_reaction(&mut self, name: &str) -> Value {
        let before = self.reactions.len();
        self.reactions.retain(|reaction| reaction != name);
        if self.reactions.len() == before {
            return refusal("no_reaction");
        }
        json!({"ok": true})
    }

    fn shown(&self, users: &HashMap<String, String>) -> Value {
        let from = match &self.user {
            Some(user) => users.get(user).unwrap_or(user).as_str(),
            None => "Tidegate",
        };
        let mut shown = json!({"from": from, "text": self.text, "ts": self.ts});
        if let Some(thread) = &self.thread_ts {
            shown["thread_ts"] = thread.as_str().into();
        }
        if self.edited {
            shown["edited"] = true.into();
        }
        if self.deleted {
            shown["deleted"] = true.into();
        }
        if !self.reactions.is_empty() {
            shown["reactions"] = json!(self.reactions);
        }
        shown
    }
}

/// The connection that a request came on, so that a fault can close it.
#[derive(Clone)]
struct Wire(Arc<Notify>);

impl Wire {
    async fn close(&self) -> Response {
        self.0.notify_one();
        pending().await
    }
}

async fn serve(listener: TcpListener, routes: Router) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((stream, _)) = accepted {
                    connections.spawn(serve_one(stream, routes.clone()));
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve_one(stream: TcpStream, routes: Router) {
    let wire = Wire(Arc::new(Notify::new()));
    let service = TowerToHyperService::new(routes.layer(Extension(wire.clone())));
    let connection =
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        // A peer that goes away is no concern of ours.
        _ended = connection => {}
        () = wire.0.notified() => {}
    }
}

fn routes(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/api/{method}", any(web_api))
        .route("/files/{id}/{name}", get(download))
        .route("/say", post(say))
        .route("/channels/{id}", get(show_channel))
        .with_state(shared)
}

async fn web_api(
    State(shared): State<Arc<Shared>>,
    Extension(wire): Extension<Wire>,
    Path(method): Path<String>,
    request: Request,
) -> Response {
    let fault = shared.lock().faults.get_mut(&method).and_then(VecDeque::pop_front);
    if matches!(fault, Some(Fault::CloseBeforeReading)) {
        return wire.close().await;
    }
    let (parts, body) = request.into_parts();
    let Ok(bytes) = to_bytes(body, BODY_LIMIT_BYTES).await else {
        return (StatusCode::PAYLOAD_TOO_LARGE, "too large").into_response();
    };
    let arguments = arguments(parts.uri.query().unwrap_or_default(), &parts.headers, &bytes);
    shared.lock().calls.push(Call { method: method.clone(), arguments: arguments.clone() });
    if let Err(code) = authorized(&parts.headers) {
        return Json(refusal(code)).into_response();
    }
    match fault {
        None => Json(shared.perform(&method, &arguments)).into_response(),
        Some(Fault::RateLimited(seconds)) => {
            let retry_after = [(header::RETRY_AFTER, seconds.to_string())];
            (StatusCode::TOO_MANY_REQUESTS, retry_after, Json(refusal("ratelimited")))
                .into_response()
        }
        Some(Fault::Refused(code)) => Json(refusal(code)).into_response(),
        Some(Fault::Status(status)) => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            (status, "the provider is unwell").into_response()
        }
        Some(Fault::Hang) => {
            shared.perform(&method, &arguments);
            pending().await
        }
        Some(Fault::Until(gate)) => {
            let answer = shared.perform(&method, &arguments);
            gate.pass().await;
            Json(answer).into_response()
        }
        Some(Fault::CloseBeforeReading | Fault::CloseAfterReading) => {
            shared.perform(&method, &arguments);
            wire.close().await
        }
    }
}

async fn download(
    State(shared): State<Arc<Shared>>,
    Path((id, _name)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    shared.lock().calls.push(Call { method: "files".into(), arguments: json!({"id": id}) });
    if authorized(&headers).is_err() {
        // The real one shows a sign-in page instead of an error.
        let sign_in = [(header::CONTENT_TYPE, "text/html")];
        return (sign_in, "<html><body>Sign in</body></html>").into_response();
    }
    match shared.lock().files.get(&id) {
        None => (StatusCode::NOT_FOUND, "no such file").into_response(),
        Some(file) => {
            let content_type = [(header::CONTENT_TYPE, file.content_type.clone())];
            (content_type, Body::from(file.content.clone())).into_response()
        }
    }
}

async fn say(State(shared): State<Arc<Shared>>, body: String) -> Response {
    let spoken = match serde_json::from_str::<Value>(&body) {
        Ok(document @ Value::Object(_)) => document,
        _ => json!({"text": body.trim()}),
    };
    let word = |name: &str, default: &str| spoken[name].as_str().unwrap_or(default).to_owned();
    let (channel, user) = (word("channel", CHANNEL), word("user", PERSON));
    let envelope =
        shared.person_writes(&channel, &user, &word("text", "…"), spoken["thread_ts"].as_str());
    let Some(url) = shared.lock().webhook_url.clone() else {
        return (StatusCode::CONFLICT, "no webhook is known yet").into_response();
    };
    let bytes = envelope.bytes();
    let headers = signed_headers(SIGNING_SECRET, &bytes);
    let shown: serde_json::Map<String, Value> =
        headers.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect();
    let sent = json!({"method": "POST", "url": url, "headers": shown, "body": envelope.body});
    match deliver(&shared.http, &url, &headers, bytes).await {
        Ok(answer) => {
            let received = json!({"status": answer.status, "body": answer.text});
            Json(json!({"sent": sent, "received": received, "ts": envelope.ts()})).into_response()
        }
        Err(error) => {
            let reason = json!({"sent": sent, "error": format!("{error:#}")});
            (StatusCode::BAD_GATEWAY, Json(reason)).into_response()
        }
    }
}

async fn show_channel(State(shared): State<Arc<Shared>>, Path(id): Path<String>) -> Json<Value> {
    Json(shared.transcript(&id))
}

fn authorized(headers: &HeaderMap) -> Result<(), &'static str> {
    match headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()) {
        None => Err("not_authed"),
        Some(value) if value.strip_prefix("Bearer ") == Some(BOT_TOKEN) => Ok(()),
        Some(_) => Err("invalid_auth"),
    }
}

/// The arguments of a call: the query, then the body as JSON or as a form.
fn arguments(query: &str, headers: &HeaderMap, body: &[u8]) -> Value {
    let mut arguments = serde_json::Map::new();
    let mut pairs = |bytes: &[u8]| {
        for (name, value) in url::form_urlencoded::parse(bytes) {
            arguments.insert(name.into_owned(), value.into_owned().into());
        }
    };
    pairs(query.as_bytes());
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if content_type.is_some_and(|kind| kind.starts_with("application/json")) {
        if let Ok(Value::Object(fields)) = serde_json::from_slice(body) {
            arguments.extend(fields);
        }
    } else {
        pairs(body);
    }
    Value::Object(arguments)
}

fn refusal(code: &str) -> Value {
    json!({"ok": false, "error": code})
}

fn micros_now() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros()
}
