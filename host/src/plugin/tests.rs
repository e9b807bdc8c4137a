//! The sandbox with the real Slack component.

use super::{
    CallError, Connection, Inbox, Limits, Refusal, Release, Sandbox, SandboxConfig, inspect,
    settings_with_defaults,
};
use crate::capability::HostLimits;
use crate::capability::context::{Allowance, CallContext, InboxView, Services};
use crate::capability::grant::Grants;
use crate::capability::memory::{BlobBytes, BlobInfo, BlobLabel, KvScope, Memory, MemoryError};
use crate::capability::secrets::{SecretText, Secrets};
use crate::capability::{Export, kv};
use crate::domain::exchange::{HttpRequest, ProviderEvent, UnixMs, Verdict};
use crate::domain::id::{AccountId, ConnectionId, InboxId};
use crate::domain::plugin::{Change, TicketView};
use crate::outgoing::{Client, Policy};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const SECRET: &str = "8f742231b10e8888abcd99yyyzzz85a5";
const TIMESTAMP: &str = "1531420618";
const RECEIVED_AT: UnixMs = UnixMs(1_531_420_619_000);

/// A store that knows everybody, and that can stop answering.
#[derive(Default)]
struct Known {
    stuck: AtomicBool,
}

type Asked<'a, T> = BoxFuture<'a, Result<T, MemoryError>>;

impl Memory for Known {
    fn kv_get(&self, _: KvScope, key: String, _: UnixMs) -> Asked<'_, Option<Vec<u8>>> {
        async move {
            if self.stuck.load(Ordering::SeqCst) {
                futures_util::future::pending::<()>().await;
            }
            let person = br#"{"name":"Ada Lovelace","email":"ada@example.com"}"#;
            Ok(key.starts_with("user:").then(|| person.to_vec()))
        }
        .boxed()
    }

    fn kv_used(&self, _: KvScope, _: UnixMs) -> Asked<'_, u64> {
        async { Ok(0) }.boxed()
    }

    fn blob_stat(&self, _: AccountId, _: String) -> Asked<'_, Option<BlobInfo>> {
        async { Ok(None) }.boxed()
    }

    fn blob_read(&self, _: AccountId, _: String, _: u64, _: u32) -> Asked<'_, Option<Vec<u8>>> {
        async { Ok(None) }.boxed()
    }

    fn blob_write(&self, _: AccountId, _: BlobLabel, _: BlobBytes) -> Asked<'_, BlobInfo> {
        async { Err(MemoryError::Store("it keeps nothing".to_owned())) }.boxed()
    }
}

fn component() -> Vec<u8> {
    let folder = std::env::var_os("TIDEGATE_COMPONENTS").expect(
        "TIDEGATE_COMPONENTS names no folder of built components; `cargo xtask test` sets it",
    );
    let path = PathBuf::from(folder).join("tidegate_plugin_slack.wasm");
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The component with one name in it changed for another of the same length.
fn renamed(from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut bytes = component();
    let found: Vec<usize> = (0..bytes.len() - from.len())
        .filter(|at| bytes[*at..].starts_with(from.as_bytes()))
        .collect();
    assert!(!found.is_empty(), "{from} is not in the component");
    for at in found {
        bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
    }
    bytes
}

struct Stage {
    sandbox: Sandbox,
    memory: Arc<Known>,
    services: Arc<Services>,
    home: tempfile::TempDir,
}

fn stage_with(change: impl FnOnce(&mut SandboxConfig, &mut HostLimits)) -> Stage {
    let home = tempfile::tempdir().unwrap();
    let mut config = SandboxConfig::new(home.path().join("compiled"));
    config.instances = 8;
    let mut limits = HostLimits::default();
    change(&mut config, &mut limits);
    let memory = Arc::new(Known::default());
    let services = Arc::new(Services {
        memory: Arc::clone(&memory) as Arc<dyn Memory>,
        client: Client::new(Policy::default()).unwrap(),
        host: tokio::runtime::Handle::current(),
        limits,
    });
    let sandbox = Sandbox::new(config, Arc::clone(&services)).unwrap();
    Stage { sandbox, memory, services, home }
}

fn stage() -> Stage {
    stage_with(|_, _| ())
}

impl Stage {
    async fn slack(&self) -> Arc<Release> {
        self.sandbox.load(component()).await.unwrap()
    }
}

fn connection(release: &Arc<Release>, calls: usize) -> Arc<Connection> {
    let integration = release.integration.as_ref().unwrap();
    let secret = |name: &str, text: &str| (name.to_owned(), vec![SecretText::new(text.to_owned())]);
    let allowance = Allowance {
        account: AccountId(1),
        connection: ConnectionId(2),
        settings: settings_with_defaults(&integration.settings, &BTreeMap::new()).unwrap(),
        secrets: Secrets::new([secret("signing_secret", SECRET), secret("bot_token", "xoxb-1")]),
        grants: Grants::requested(&integration.requests).unwrap(),
    };
    let release = Some(Arc::clone(release));
    Connection::new(Arc::new(allowance), "slack".to_owned(), true, true, true, release, calls)
}

fn inbox(release: &Arc<Release>) -> Arc<Inbox> {
    let view = Arc::new(InboxView { id: InboxId(3), settings: Default::default() });
    let (account, bound, channel) = (AccountId(1), ConnectionId(2), "slack".to_owned());
    Inbox::new(account, InboxId(3), bound, channel, Some(Arc::clone(release)), view)
}

fn event(text: &str) -> HttpRequest {
    signed(
        serde_json::json!({
            "team_id": "T061EG9R6", "type": "event_callback", "event_id": "Ev0PV52K21",
            "event": {
                "type": "message", "channel": "C024BE91L", "user": "U2147483697", "text": text,
                "ts": "1355517523.000005", "channel_type": "channel",
            },
        })
        .to_string(),
    )
}

fn signed(body: String) -> HttpRequest {
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, SECRET.as_bytes());
    let mac = ring::hmac::sign(&key, format!("v0:{TIMESTAMP}:{body}").as_bytes());
    let headers = [
        ("content-type", "application/json".to_owned()),
        ("x-slack-request-timestamp", TIMESTAMP.to_owned()),
        ("x-slack-signature", format!("v0={}", hex::encode(mac))),
    ];
    HttpRequest {
        method: "POST".to_owned(),
        url: "https://desk.example.com/api/webhooks/integrations/slack".to_owned(),
        path: String::new(),
        headers: headers.map(|(name, value)| (name.to_owned(), value)).to_vec(),
        body: body.into_bytes(),
        received_at: RECEIVED_AT,
    }
}

fn cached(directory: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = files.collect();
    files.sort();
    files
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_says_what_it_is() {
    let release = stage().slack().await;
    assert_eq!(release.plugin(), "tidegate/slack");
    assert_eq!(release.size, component().len() as u64);
    assert_eq!(release.channel.as_ref().unwrap().key, "slack");
    assert_eq!(release.integration.as_ref().unwrap().key, "slack");
    assert!(release.exports.contains(&"tidegate:plugin/identity@0.1.0".to_owned()));
    assert!(release.imports.contains(&"tidegate:plugin/secrets@0.1.0".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_this_host_does_not_serve_is_refused_by_name() {
    let stage = stage();
    let cases = [
        (
            renamed("tidegate:plugin/kv@0.1.0", "tidegate:plugin/kx@0.1.0"),
            "it imports tidegate:plugin/kx@0.1.0, which this host does not offer",
        ),
        (
            renamed("plugin/channel@0.1.0", "plugin/channel@0.2.0"),
            "plugin/channel@0.2.0; this host",
        ),
        (renamed("plugin/identity@0.1.0", "plugin/identitx@0.1.0"), "identity, so nobody"),
    ];
    for (bytes, expected) in cases {
        let refused = inspect(&bytes, 1 << 20).unwrap_err();
        assert!(refused.to_string().contains(expected), "{refused}");
        assert_eq!(stage.sandbox.load(bytes).await.unwrap_err(), refused);
    }
    let both = renamed("plugin/channel@0.1.0", "plugin/chxnnel@0.1.0");
    assert!(inspect(&both, 1 << 20).is_ok(), "an integration alone is enough");
    let mut broken = component();
    broken.truncate(100_000);
    assert!(matches!(stage.sandbox.load(broken).await.unwrap_err(), Refusal::Malformed(_)));
    assert!(cached(&stage.home.path().join("compiled")).is_empty(), "nothing refused is kept");
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn compiled_code_is_private_and_a_corrupt_file_is_made_anew() {
    use std::os::unix::fs::PermissionsExt;
    let first = stage();
    let directory = first.home.path().join("compiled");
    let digest = first.slack().await.digest.clone();
    let mode = std::fs::metadata(&directory).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    let [file] = cached(&directory).try_into().unwrap();
    let name = file.file_name().unwrap().to_string_lossy().into_owned();
    assert!(name.starts_with(&digest) && name.ends_with(".cwasm"), "{name}");
    let whole = std::fs::read(&file).unwrap();
    for corrupt in [&whole[..whole.len() / 2], b"", b"not compiled code"] {
        std::fs::remove_file(&file).unwrap();
        std::fs::write(&file, corrupt).unwrap();
        let sandbox = Sandbox::new(
            SandboxConfig { instances: 8, ..SandboxConfig::new(directory.clone()) },
            Arc::clone(&first.services),
        );
        let release = sandbox.unwrap().load(component()).await.unwrap();
        assert_eq!(release.digest, digest);
        assert_eq!(cached(&directory), std::slice::from_ref(&file));
        assert_eq!(std::fs::metadata(&file).unwrap().len(), whole.len() as u64);
    }
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn code_is_not_taken_from_where_others_may_write() {
    use std::os::unix::fs::PermissionsExt;
    let stage = stage_with(|config, _| {
        std::fs::create_dir(config.cache_dir.as_ref().unwrap()).unwrap();
        let open = std::fs::Permissions::from_mode(0o777);
        std::fs::set_permissions(config.cache_dir.as_ref().unwrap(), open).unwrap();
    });
    stage.slack().await;
    assert!(cached(&stage.home.path().join("compiled")).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_is_verified_and_becomes_a_command() {
    let stage = stage();
    let release = stage.slack().await;
    let (connection, inbox) = (connection(&release, 8), inbox(&release));
    let request = event("The printer is on fire");
    let verdict = stage.sandbox.verify(&connection, request.clone()).await.unwrap();
    let Verdict::Accepted { reply: None, request_id: Some(id), lane: Some(_) } = verdict else {
        panic!("{verdict:?}")
    };
    assert_eq!(id, "Ev0PV52K21");
    let called = stage.sandbox.ingest(&connection, Some(&inbox), request.clone()).await.unwrap();
    let found = called.value.unwrap();
    let [only] = found.as_slice() else { panic!("{found:?}") };
    assert!(matches!(only.event, ProviderEvent::Inbound(_)));
    let commands = only.outcome.as_ref().unwrap();
    assert!(matches!(commands.as_slice(), [one] if matches!(one.change, Change::Accept(_))));

    let mut flipped = request.clone();
    flipped.body[0] ^= 1;
    let stale = HttpRequest { received_at: RECEIVED_AT.plus_ms(301_000), ..request };
    for request in [flipped, stale] {
        let verdict = stage.sandbox.verify(&connection, request).await.unwrap();
        assert!(matches!(verdict, Verdict::Refused(_)), "{verdict:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_of_another_release_is_asked_in_an_instance_of_its_own() {
    let stage = stage();
    let release = stage.slack().await;
    // A custom section makes it another component.
    let mut other = component();
    other.extend([0, 2, 1, b'x']);
    let other = stage.sandbox.load(other).await.unwrap();
    assert_ne!(release.digest, other.digest);
    let connection = connection(&release, 1);
    for release in [&release, &other] {
        let (inbox, request) = (inbox(release), event("The printer is on fire"));
        let called = stage.sandbox.ingest(&connection, Some(&inbox), request).await.unwrap();
        let found = called.value.unwrap();
        assert!(matches!(found.as_slice(), [one] if one.outcome.as_ref().unwrap().len() == 1));
    }
    let called = stage.sandbox.ingest(&connection, None, event("nobody asks")).await.unwrap();
    assert!(matches!(called.value.unwrap().as_slice(), [one] if one.outcome == Ok(Vec::new())));
}

#[tokio::test(flavor = "multi_thread")]
async fn there_is_a_card_for_every_ticket_and_no_optional_export() {
    let stage = stage();
    let release = stage.slack().await;
    let (connection, inbox) = (connection(&release, 8), inbox(&release));
    let ticket = TicketView {
        id: "7".to_owned(),
        kind: "conversation".to_owned(),
        subject: "Printer".to_owned(),
        preview: "on fire".to_owned(),
        origin: "slack".to_owned(),
        status: "Open".to_owned(),
        priority: None,
        contact: None,
        contact_address: None,
        fields: Vec::new(),
        last_message_at: None,
    };
    let tickets = vec![ticket; 3];
    let cards = stage.sandbox.render_cards(&connection, &inbox, tickets).await.unwrap();
    assert_eq!(cards.value.len(), 3);
    let url = "https://desk.example.com".to_owned();
    assert!(stage.sandbox.connect(&connection, url).await.unwrap().is_none());
    assert!(stage.sandbox.tick(&connection, RECEIVED_AT).await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn more_calls_than_instances_wait_for_room() {
    let stage = stage_with(|config, _| config.instances = 3);
    let release = stage.slack().await;
    let (connection, inbox) = (connection(&release, 100), inbox(&release));
    let calls = (0..200).map(|number| {
        let (sandbox, connection, inbox) = (&stage.sandbox, &connection, &inbox);
        async move {
            let request = event(&format!("message {number}"));
            sandbox.verify(connection, request.clone()).await.unwrap();
            sandbox.ingest(connection, Some(inbox), request).await.unwrap().value.unwrap().len()
        }
    });
    let found = futures_util::future::join_all(calls).await;
    assert_eq!(found, [1; 200]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_hangs_ends_and_gives_its_room_back() {
    let stage = stage_with(|config, _| {
        config.limits = Limits { wait_ms: 50, network_outer_ms: 200, ..Limits::default() };
    });
    let release = stage.slack().await;
    let (connection, inbox) = (connection(&release, 1), inbox(&release));
    let ingest = || stage.sandbox.ingest(&connection, Some(&inbox), event("x"));
    stage.memory.stuck.store(true, Ordering::SeqCst);

    let error = ingest().await.unwrap_err();
    assert!(matches!(error, CallError::Deadline { limit_ms: 200, .. }), "{error}");

    // The caller goes away; its call goes with it.
    for _ in 0..50 {
        assert!(tokio::time::timeout(Duration::from_millis(2), ingest()).await.is_err());
    }
    let (hanging, busy) = tokio::join!(ingest(), async {
        tokio::time::sleep(Duration::from_millis(60)).await;
        ingest().await
    });
    assert!(hanging.unwrap_err().is_fault());
    assert!(busy.unwrap_err().is_busy());

    stage.memory.stuck.store(false, Ordering::SeqCst);
    assert!(ingest().await.is_ok(), "the room is free again");
    assert_eq!(stage.sandbox.inner.room.available_permits(), 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_exceeds_a_limit_is_named() {
    let slow = stage_with(|config, _| config.limits.work_ms = 1);
    let release = slow.slack().await;
    let request = event(&"x <https://example.com|y> ".repeat(200_000));
    let (connection_of_slow, inbox_of_slow) = (connection(&release, 8), inbox(&release));
    let called = slow.sandbox.ingest(&connection_of_slow, Some(&inbox_of_slow), request);
    let error = called.await.unwrap_err();
    assert!(matches!(error, CallError::Deadline { limit_ms: 1, .. }), "{error}");

    let mute = stage_with(|_, limits| limits.host_calls = 0);
    let release = mute.slack().await;
    let error = mute.sandbox.verify(&connection(&release, 8), event("x")).await.unwrap_err();
    assert!(error.to_string().contains("more than 0 calls of host functions"), "{error}");
    assert!(error.is_fault());

    let narrow = stage_with(|config, _| config.limits.boundary_bytes = 16);
    let refused = narrow.sandbox.load(component()).await.unwrap_err();
    assert!(refused.to_string().contains("returned too much from identity.describe"), "{refused}");

    let small = stage_with(|config, _| config.limits.memory_bytes = 64 << 10);
    let refused = small.sandbox.load(component()).await.unwrap_err();
    assert!(
        matches!(&refused, Refusal::DoesNotCompile(why) if why.contains("memory")),
        "{refused}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_leaves_no_kv_writes() {
    let stage = stage();
    let release = stage.slack().await;
    let connection = connection(&release, 8);
    let plugin = Arc::from(release.plugin());
    let mut context = CallContext::bare(plugin, Export::Parse, Arc::clone(&stage.services))
        .with_allowance(Arc::clone(&connection.allowance))
        .with_inbox(Arc::clone(&inbox(&release).view));
    for (key, fails) in [("kept", false), ("forgotten", true), ("kept too", false)] {
        context.enter(Export::Inbound);
        let mark = context.mark();
        assert_eq!(kv::set(&mut context, key.to_owned(), vec![1], None).await, Ok(Ok(())));
        if fails {
            context.forget_since(mark);
        }
    }
    let kept: Vec<String> = context.finish().kv.into_iter().map(|write| write.key).collect();
    assert_eq!(kept, ["kept", "kept too"]);
}
