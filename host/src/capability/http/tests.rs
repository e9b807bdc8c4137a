//! Requests through the capability, against a server on this machine.

use super::*;
use crate::capability::Export;
use crate::capability::context::Services;
use crate::capability::grant::{Grant, Grants};
use crate::capability::memory::{BlobInfo, KvScope};
use crate::capability::secrets::Secrets;
use crate::capability::settings::Settings;
use crate::outgoing::Policy;
use futures_util::future::BoxFuture;
use serde_json::json;
use std::sync::Mutex;
use tidegate_domain::exchange::UnixMs;
use tidegate_domain::id::ConnectionId;
use tidegate_domain::plugin::Capability;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const TOKEN: &str = "xoxb-1234567890";

/// One blob, `kept`.
#[derive(Default)]
struct OneBlob(Mutex<Vec<u8>>);

impl Memory for OneBlob {
    fn kv_get(
        &self,
        _: KvScope,
        _: String,
        _: UnixMs,
    ) -> BoxFuture<'_, Result<Option<Vec<u8>>, MemoryError>> {
        Box::pin(async { Ok(None) })
    }

    fn kv_used(&self, _: KvScope, _: UnixMs) -> BoxFuture<'_, Result<u64, MemoryError>> {
        Box::pin(async { Ok(0) })
    }

    fn blob_stat(
        &self,
        _: AccountId,
        id: String,
    ) -> BoxFuture<'_, Result<Option<BlobInfo>, MemoryError>> {
        let size = self.0.lock().unwrap().len() as u64;
        let info = BlobInfo { id, size, content_type: "text/plain".into(), name: "n".into() };
        Box::pin(async move { Ok((info.id == "kept").then_some(info)) })
    }

    fn blob_read(
        &self,
        _: AccountId,
        _: String,
        offset: u64,
        len: u32,
    ) -> BoxFuture<'_, Result<Option<Vec<u8>>, MemoryError>> {
        let bytes = self.0.lock().unwrap();
        let from = bytes.iter().skip(offset as usize).take(len as usize);
        let piece: Vec<u8> = from.copied().collect();
        Box::pin(async move { Ok(Some(piece)) })
    }

    fn blob_write(
        &self,
        _: AccountId,
        label: BlobLabel,
        mut bytes: BlobBytes,
    ) -> BoxFuture<'_, Result<BlobInfo, MemoryError>> {
        Box::pin(async move {
            let mut all = Vec::new();
            while let Some(piece) = bytes.next().await {
                all.extend_from_slice(&piece?);
            }
            let size = all.len() as u64;
            *self.0.lock().unwrap() = all;
            let BlobLabel { name, content_type } = label;
            Ok(BlobInfo { id: "kept".into(), size, content_type, name })
        })
    }
}

/// Answers every connection with what `answer` makes of the request.
async fn server(answer: fn(&str) -> String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            let mut buffer = vec![0; 4096];
            loop {
                let read = socket.read(&mut buffer).await.unwrap();
                request.extend_from_slice(&buffer[..read]);
                let text = String::from_utf8_lossy(&request);
                let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
                let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
                if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
                    break;
                }
            }
            let answer = answer(&String::from_utf8_lossy(&request));
            socket.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    format!("http://127.0.0.1:{port}")
}

fn ok(body: &str, header: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 200 OK\r\nconnection: close\r\n{header}content-length: {length}\r\n\r\n{body}"
    )
}

fn echo(request: &str) -> String {
    ok(request, "")
}

fn context(export: Export, api: &str) -> CallContext {
    let secret = |name: &str, text: &str| (name.to_owned(), vec![SecretText::new(text.to_owned())]);
    let grants: Grants = [
        (Capability::Http, "{api_url}"),
        (Capability::Http, "api.example.com"),
        (Capability::Secret, "token@{api_url}"),
        (Capability::Secret, "odd@{api_url}"),
        (Capability::Secret, "new@{api_url}"),
        (Capability::Secret, "local"),
        (Capability::Secret, "other@api.example.com"),
        (Capability::Blobs, "4096"),
    ]
    .into_iter()
    .map(|(capability, scope)| Grant::parse(capability, scope).unwrap())
    .collect();
    let services = Services {
        memory: Arc::new(OneBlob::default()),
        client: Client::new(Policy { allow_loopback: true }).unwrap(),
        host: tokio::runtime::Handle::current(),
        limits: HostLimits { http_requests: 3, http_timeout_ms: 1000, ..HostLimits::default() },
    };
    let allowance = Allowance {
        account: AccountId(1),
        connection: ConnectionId(2),
        settings: Settings::from_values([("api_url", json!(api))]),
        secrets: Secrets::new([
            secret("token", TOKEN),
            secret("odd", "a/../b?c"),
            secret("local", "local-secret"),
            secret("other", "other-secret"),
        ]),
        grants,
    };
    CallContext::bare("tidegate/test".into(), export, Arc::new(services))
        .with_allowance(Arc::new(allowance))
}

fn text(text: &str) -> Part {
    Part::Text(text.to_owned())
}

fn secret(name: &str, form: Form) -> Part {
    Part::Secret { name: name.to_owned(), form }
}

fn get(url: Vec<Part>) -> Request {
    Request {
        method: "GET".to_owned(),
        url,
        headers: Vec::new(),
        body: Vec::new(),
        timeout_ms: None,
        into_blob: None,
        captures: Vec::new(),
    }
}

fn body_text(response: &Response) -> String {
    match &response.body {
        Body::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Body::Blob(id) => panic!("a blob {id}"),
    }
}

/// Whether the server saw the secrets, for the echo shows them to nobody.
fn inspect(request: &str) -> String {
    let basic = "Basic bWU6eG94Yi0xMjM0NTY3ODkw";
    let seen = [
        request.starts_with("POST /botxoxb-1234567890/send?t=xoxb-1234567890 HTTP/1.1\r\n"),
        request.contains(basic),
        request.ends_with("\r\n\r\n{\"token\":\"xoxb-1234567890\"}"),
    ];
    ok(&format!("{seen:?}"), "")
}

#[tokio::test]
async fn secrets_go_where_they_belong_and_do_not_come_back() {
    for answer in [inspect, echo] {
        let api = server(answer).await;
        let mut context = context(Export::Send, &api);
        let plain = secret("token", Form::Plain);
        let mut request = get(vec![
            text(&api),
            text("/bot"),
            plain,
            text("/send?t="),
            secret("token", Form::UrlEncoded),
        ]);
        request.method = "POST".to_owned();
        let user = Part::BasicAuth { user: "me".to_owned(), secret: "token".to_owned() };
        let value = vec![text("Basic "), user];
        request.headers.push(Header { name: "Authorization".to_owned(), value });
        request.body = vec![text("{\"token\":"), secret("token", Form::JsonString), text("}")];
        let response = send(&mut context, request).await.unwrap().unwrap();
        let body = body_text(&response);
        assert!(!body.contains(TOKEN) && !body.contains("eG94Yi0xMjM0NTY3ODkw"), "{body}");
        let expected =
            if body.starts_with('[') { "[true, true, true]" } else { "POST /bot***/send?t=*** " };
        assert!(body.starts_with(expected), "{body}");
    }
}

#[tokio::test]
async fn what_is_not_granted_is_denied_before_anything_is_sent() {
    let api = "http://127.0.0.1:9";
    let plain = |name: &str| secret(name, Form::Plain);
    let urls: Vec<(Vec<Part>, &str)> = vec![
        (vec![text("https://evil.example/")], "evil.example is not granted"),
        (vec![text("http://api.example.com/")], "expected https, found http"),
        (vec![text("https://user@api.example.com/")], "no user name"),
        (vec![text("http://127.0.0.1:10/")], "127.0.0.1:10 is not granted"),
        (vec![text("https://10.0.0.1/")], "private"),
        (vec![text("file:///etc/passwd")], "expected a host"),
        (vec![text("/relative")], "URL"),
        (vec![text("https://api.example\n.com/")], "control character"),
        (vec![plain("token"), text("://127.0.0.1:9/")], "outside the path"),
        (vec![text("https://"), plain("token"), text(".example.com/")], "outside the path"),
        (vec![text("https://"), plain("token"), text("@api.example.com/")], "outside the path"),
        (vec![text("http://127.0.0.1:9/#"), plain("token")], "outside the path"),
        (
            vec![text("https://api.example.com/"), plain("token")],
            "\"token\" is not granted to api.example.com",
        ),
        (
            vec![text("http://127.0.0.1:9/"), plain("local")],
            "\"local\" is not granted to 127.0.0.1:9",
        ),
        (vec![text("http://127.0.0.1:9/"), plain("unknown")], "\"unknown\" is not granted"),
        (vec![text("http://127.0.0.1:9/"), plain("new")], "\"new\" is not set"),
        (vec![text("http://127.0.0.1:9/"), plain("odd")], "url-encoded"),
        (vec![text("http://127.0.0.1:9/"), Part::Bytes(vec![1])], "bytes"),
    ];
    for (url, reason) in urls {
        let shown = format!("{url:?}");
        let mut context = context(Export::Send, api);
        let error = send(&mut context, get(url)).await.unwrap().unwrap_err();
        let HttpError::Denied(why) = &error else { panic!("{shown}: {error:?}") };
        assert!(why.contains(reason), "{shown}: {why}");
    }
    let names = [
        "Host",
        "content-length",
        "Connection",
        "transfer-encoding",
        "TE",
        "upgrade",
        "proxy-authorization",
        "X-Forwarded-For",
        "forwarded",
        "range",
        "a b",
        "a\r\nb",
        "",
    ];
    for name in names {
        let mut request = get(vec![text(api)]);
        request.headers.push(Header { name: name.to_owned(), value: vec![text("1")] });
        let error = send(&mut context(Export::Send, api), request).await.unwrap().unwrap_err();
        assert!(matches!(error, HttpError::Denied(_)), "{name}: {error:?}");
    }
    let mut request = get(vec![text(api)]);
    request.headers.push(Header { name: "x-a".to_owned(), value: vec![text("1\r\nx-b: 2")] });
    let error = send(&mut context(Export::Send, api), request).await.unwrap().unwrap_err();
    assert!(matches!(error, HttpError::Denied(_)));
    for method in ["CONNECT", "TRACE", "get", "GET /", ""] {
        let request = Request { method: method.to_owned(), ..get(vec![text(api)]) };
        let error = send(&mut context(Export::Send, api), request).await.unwrap().unwrap_err();
        assert!(matches!(error, HttpError::Denied(_)), "{method}");
    }
}

#[tokio::test]
async fn only_some_exports_have_the_network() {
    for export in [Export::Verify, Export::IntegrationDescribe, Export::Inbound, Export::Outbound] {
        let mut context = context(export, "http://127.0.0.1:9");
        let error = send(&mut context, get(vec![text("http://127.0.0.1:9/")])).await.unwrap();
        assert_eq!(error, Err(HttpError::Denied(format!("{export} has no network"))));
    }
}

#[tokio::test]
async fn requests_are_counted() {
    let api = server(|_| ok("fine", "")).await;
    let mut context = context(Export::Check, &api);
    for _ in 0..3 {
        assert!(send(&mut context, get(vec![text(&api)])).await.unwrap().is_ok());
    }
    let fourth = send(&mut context, get(vec![text(&api)])).await.unwrap();
    assert_eq!(fourth, Err(HttpError::Denied("more than 3 requests in one call".to_owned())));
}

#[tokio::test]
async fn a_token_is_captured_and_usable_at_once() {
    let api = server(|request| match request.split_once("secret=fresh-token") {
        Some(_) => ok("used", ""),
        None => ok(r#"{"access":"fresh-token","again":"fresh-token"}"#, "x-token: fresh-token\r\n"),
    })
    .await;
    let mut context = context(Export::Connect, &api);
    let mut request = get(vec![text(&api)]);
    let capture =
        |secret: &str| Capture { pointer: "/access".to_owned(), secret: secret.to_owned() };
    request.captures = vec![capture("unknown")];
    assert!(send(&mut context, request.clone()).await.unwrap().is_err());
    request.captures = vec![capture("new")];
    let response = send(&mut context, request).await.unwrap().unwrap();
    assert!(!format!("{response:?}").contains("fresh-token"));
    assert_eq!(body_text(&response), r#"{"access":"***","again":"***"}"#);
    let url = vec![text(&api), text("/?secret="), secret("new", Form::UrlEncoded)];
    let response = send(&mut context, get(url)).await.unwrap().unwrap();
    assert_eq!(body_text(&response), "used");
    let left = context.finish().secrets;
    assert_eq!(left.len(), 1);
    assert_eq!((left[0].name.as_str(), left[0].value.expose()), ("new", "fresh-token"));
}

#[tokio::test]
async fn a_body_is_kept_as_a_blob_and_sent_again() {
    let api = server(echo).await;
    let mut context = context(Export::Fetch, &api);
    let mut request = get(vec![text(&api), text("/?t="), secret("token", Form::Plain)]);
    request.into_blob = Some("../file.txt".to_owned());
    let response = send(&mut context, request).await.unwrap().unwrap();
    assert_eq!(response.body, Body::Blob("kept".to_owned()));
    assert!(context.blob_bytes > 10);
    let mut request = get(vec![text(&api)]);
    request.method = "PUT".to_owned();
    request.body = vec![text("<"), Part::Blob("kept".to_owned()), text(">")];
    let response = send(&mut context, request.clone()).await.unwrap().unwrap();
    let body = body_text(&response);
    let (_, sent) = body.split_once("\r\n\r\n").unwrap();
    assert!(sent.starts_with("<GET /?t=*** HTTP/1.1\r\n") && sent.ends_with('>'), "{body}");
    request.body = vec![Part::Blob("missing".to_owned())];
    assert!(matches!(send(&mut context, request).await.unwrap(), Err(HttpError::Denied(_))));
}

#[tokio::test]
async fn a_response_that_is_too_large_is_said_to_be() {
    let api = server(|_| ok(&"x".repeat(5000), "")).await;
    let mut context = context(Export::Fetch, &api);
    let mut request = get(vec![text(&api)]);
    request.into_blob = Some("large".to_owned());
    assert_eq!(send(&mut context, request).await.unwrap(), Err(HttpError::TooLarge(4096)));
    assert_eq!(context.blob_bytes, 0);
}
