//! Calls of the sandboxed Slack plugin beside the same Rust code native.

use crate::Effort;
use crate::figure::{Figure, Target, median};
use anyhow::{Context, bail};
use serde_json::json;
use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;
use tidegate::capability::HostLimits;
use tidegate::capability::context::{Allowance, InboxView, Services};
use tidegate::capability::grant::{Grant, Grants};
use tidegate::capability::secrets::{SecretText, Secrets};
use tidegate::domain::exchange::{HttpRequest, UnixMs, Verdict};
use tidegate::domain::id::{AccountId, ConnectionId, InboxId};
use tidegate::outgoing::{Client, Policy};
use tidegate::plugin::{
    Connection, Inbox, Release, Sandbox, SandboxConfig, settings_with_defaults,
};
use tidegate::store::kv::KvScope;
use tidegate::store::{Location, Store, StoreError, dialect};
use tidegate_plugin_slack::Slack;
use tidegate_sdk::{Channel, Integration, ProviderEvent, native};
use tidegate_tests::places;
use tidegate_tests::slack::signature;

const SECRET: &str = "8f742231b10e8888abcd99yyyzzz85a5";
const TIMESTAMP: &str = "1531420618";
const RECEIVED_AT: i64 = 1_531_420_619_000;
const USER: &str = "U2147483697";
const PERSON: &[u8] = br#"{"name":"Ada Lovelace","email":"ada@example.com"}"#;

/// A message event as Slack sends it, with the rich text that it repeats.
fn event() -> Vec<u8> {
    let text = "Live long and prospect, &lt;friends&gt; of the <https://example.com/docs?page=2|handbook>. \
        The printer on the second floor is on fire again, and the sprinkler took the switch with it.";
    let plain = "The printer on the second floor is on fire again, and the sprinkler took the switch with it.";
    let elements: Vec<_> = (0..8).map(|_| json!({"type": "text", "text": plain})).collect();
    json!({
        "token": "one-long-verification-token",
        "team_id": "T061EG9R6",
        "api_app_id": "A0PNCHHK2",
        "event": {
            "type": "message", "channel": "C024BE91L", "user": USER, "text": text,
            "ts": "1355517523.000005", "client_msg_id": "28fd2f6d-1d5f-4bd0-8d0a-3d7ae8a8b0ab",
            "team": "T061EG9R6", "event_ts": "1355517523.000005", "channel_type": "channel",
            "blocks": [{"type": "rich_text", "block_id": "mHo0P", "elements": [
                {"type": "rich_text_section", "elements": elements}]}],
        },
        "type": "event_callback",
        "event_context": "4-eyJldCI6Im1lc3NhZ2UiLCJ0aWQiOiJUMDYxRUc5UjYiLCJhaWQiOiJBMFBOQ0hISzIifQ",
        "event_id": "Ev0PV52K21", "event_time": 1_355_517_523,
        "authorizations": [{"enterprise_id": null, "team_id": "T061EG9R6",
            "user_id": "U0BOT00001", "is_bot": true, "is_enterprise_install": false}],
        "is_ext_shared_channel": false,
    })
    .to_string()
    .into_bytes()
}

fn headers(body: &[u8]) -> Vec<(String, String)> {
    [
        ("content-type", "application/json"),
        ("user-agent", "Slackbot 1.0 (+https://api.slack.com/robots)"),
        ("x-slack-request-timestamp", TIMESTAMP),
        ("x-slack-signature", &signature(SECRET, TIMESTAMP, body)),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec()
}

struct Stage {
    sandbox: Sandbox,
    release: Arc<Release>,
    connection: Arc<Connection>,
    inbox: Arc<Inbox>,
    request: HttpRequest,
    _home: tempfile::TempDir,
}

async fn stage() -> anyhow::Result<Stage> {
    let home = tempfile::tempdir()?;
    let location = Location {
        database_url: format!("sqlite://{}", home.path().join("bench.db").display()),
        data_dir: home.path().to_path_buf(),
        connections: 4,
    };
    dialect::migrate(&location).await?;
    let store = Store::open(&location).await?;
    let (account, id) = (AccountId(1), ConnectionId(1));
    store
        .write::<_, StoreError, _>(move |tx| {
            let scope = KvScope::Connection(account, id);
            Box::pin(async move {
                tx.kv_set(scope, format!("user:{USER}"), PERSON.to_vec(), None).await
            })
        })
        .await?;
    let services = Services {
        memory: Arc::new(store),
        client: Client::new(Policy::default())?,
        host: tokio::runtime::Handle::current(),
        limits: HostLimits::default(),
    };
    let sandbox =
        Sandbox::new(SandboxConfig::new(home.path().join("compiled")), Arc::new(services))?;
    let bytes = std::fs::read(places::component(places::SLACK)?)?;
    let release = sandbox.load(bytes).await?;
    let integration = release.integration.as_ref().context("the Slack plugin is an integration")?;
    let grants: Result<Grants, _> = integration
        .requests
        .iter()
        .map(|request| Grant::parse(request.capability, &request.scope))
        .collect();
    let settings = settings_with_defaults(&integration.settings, &BTreeMap::new())
        .map_err(|errors| anyhow::anyhow!("{errors:?}"))?;
    let secret =
        |name: &str, value: &str| (name.to_owned(), vec![SecretText::new(value.to_owned())]);
    let allowance = Allowance {
        account,
        connection: id,
        settings,
        secrets: Secrets::new([secret("signing_secret", SECRET), secret("bot_token", "xoxb-1")]),
        grants: grants?,
    };
    let connection = Connection::new(
        Arc::new(allowance),
        "slack".to_owned(),
        true,
        true,
        true,
        Some(Arc::clone(&release)),
        8,
    );
    let view = Arc::new(InboxView { id: InboxId(1), settings: Default::default() });
    let inbox =
        Inbox::new(account, InboxId(1), id, "slack".to_owned(), Some(Arc::clone(&release)), view);
    let body = event();
    let request = HttpRequest {
        method: "POST".to_owned(),
        url: "https://desk.example.com/api/webhooks/integrations/slack".to_owned(),
        path: String::new(),
        headers: headers(&body),
        body,
        received_at: UnixMs(RECEIVED_AT),
    };
    Ok(Stage { sandbox, release, connection, inbox, request, _home: home })
}

/// The two calls of one event as the flow makes them, each in a fresh instance.
async fn sandboxed(stage: &Stage) -> anyhow::Result<()> {
    let verdict = stage.sandbox.verify(&stage.connection, stage.request.clone()).await?;
    if !matches!(verdict, Verdict::Accepted { .. }) {
        bail!("the sandboxed plugin did not accept: {verdict:?}");
    }
    let called =
        stage.sandbox.ingest(&stage.connection, Some(&stage.inbox), stage.request.clone()).await?;
    let found = called.value.map_err(|failure| anyhow::anyhow!("{failure:?}"))?;
    match found.as_slice() {
        [only] if only.outcome.as_ref().is_ok_and(|commands| commands.len() == 1) => Ok(()),
        other => bail!("the sandboxed plugin found {other:?}"),
    }
}

/// The same Rust code in this process.
fn in_process(request: &tidegate_sdk::HttpRequest) -> anyhow::Result<()> {
    let verdict = Slack::verify(black_box(request));
    if verdict.is_err() {
        bail!("the native plugin refused");
    }
    black_box(verdict).ok();
    let events =
        Slack::parse(black_box(request)).map_err(|failure| anyhow::anyhow!("{failure:?}"))?;
    let mut commands = 0;
    for event in events {
        if let ProviderEvent::Inbound(event) = event {
            let asked = Slack::inbound(event).map_err(|failure| anyhow::anyhow!("{failure:?}"))?;
            commands += black_box(asked).len();
        }
    }
    if commands == 1 { Ok(()) } else { bail!("the native plugin asked for {commands} commands") }
}

fn native_request(request: &HttpRequest) -> anyhow::Result<tidegate_sdk::HttpRequest> {
    Ok(tidegate_sdk::HttpRequest {
        method: request.method.clone(),
        url: request.url.clone(),
        path: request.path.clone(),
        headers: request.headers.clone(),
        body: request.body.clone(),
        received_at: u64::try_from(request.received_at.0)?,
    })
}

#[allow(clippy::cast_precision_loss, reason = "microseconds and counts are far below 2^53")]
fn each_us(started: Instant, calls: usize) -> f64 {
    started.elapsed().as_nanos() as f64 / 1_000.0 / calls as f64
}

pub(crate) async fn measure(effort: Effort) -> anyhow::Result<Vec<Figure>> {
    let stage = stage().await?;
    native::reset();
    native::set_secret("signing_secret", SECRET);
    native::set_kv(&format!("user:{USER}"), PERSON);
    let native_request = native_request(&stage.request)?;
    // Warm-up: code pages, pool slots, connections of the store.
    for _ in 0..effort.calls.min(200) {
        sandboxed(&stage).await?;
        in_process(&native_request)?;
    }
    let (mut wasm, mut rust, mut verify, mut empty) = (vec![], vec![], vec![], vec![]);
    for _ in 0..effort.runs {
        let started = Instant::now();
        for _ in 0..effort.calls {
            sandboxed(&stage).await?;
        }
        wasm.push(each_us(started, effort.calls));
        let started = Instant::now();
        for _ in 0..effort.calls {
            in_process(&native_request)?;
        }
        rust.push(each_us(started, effort.calls));
        let started = Instant::now();
        for _ in 0..effort.calls {
            black_box(stage.sandbox.verify(&stage.connection, stage.request.clone()).await?);
        }
        verify.push(each_us(started, effort.calls));
        let started = Instant::now();
        for _ in 0..effort.calls {
            black_box(stage.sandbox.describe(&stage.release).await?);
        }
        empty.push(each_us(started, effort.calls));
    }
    let ratio = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a / b).collect::<Vec<_>>();
    Ok(vec![
        Figure {
            name: "verify, then parse + inbound: sandboxed against native",
            unit: "×",
            beside: format!("{:.1} µs against {:.1} µs native", median(&wasm), median(&rust)),
            runs: ratio(&wasm, &rust),
            target: Target::AtMost(8.0),
        },
        Figure {
            name: "verify in a fresh instance against an empty describe",
            unit: "×",
            beside: format!("{:.1} µs against {:.1} µs", median(&verify), median(&empty)),
            runs: ratio(&verify, &empty),
            target: Target::AtMost(4.0),
        },
    ])
}
