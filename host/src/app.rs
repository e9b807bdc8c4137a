//! The only place that builds things: store, sandbox, steps, router; and that starts, drains and
//! stops them.

use crate::capability::HostLimits;
use crate::capability::context::Services;
use crate::config::Config;
use crate::domain::exchange::UnixMs;
use crate::domain::retry::Schedule;
use crate::flow::{Counts, Flow, Tuning, snapshot};
use crate::http::{Edge, router, server};
use crate::outgoing::{self, Policy};
use crate::plugin::{Registry, Sandbox, SandboxConfig, Snapshot};
use crate::store::dialect::{self, Dialect};
use crate::store::lease::Kind;
use crate::store::{Location, Store};
use anyhow::{Context, bail};
use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Serves until SIGTERM or SIGINT, then drains.
///
/// # Errors
/// Something could not be started.
pub async fn serve(config: Config) -> anyhow::Result<()> {
    make_data_dir(&config)?;
    let _lock = lock(&config)?;
    let location = location(&config);
    let applied = dialect::migrate(&location).await?;
    if applied > 0 {
        tracing::info!(applied, "database migrated");
    }
    let store = Store::open(&location).await?;
    if store.dialect() == Dialect::Sqlite {
        // This process alone has the database: what another left claimed is free at once.
        for kind in Kind::ALL {
            store.expire_leases(kind, UnixMs(i64::MAX)).await?;
        }
    }
    let listener = TcpListener::bind(config.listen)
        .await
        .with_context(|| format!("{} cannot be listened on", config.listen))?;
    let address = listener.local_addr()?;
    let public_url = config.public_url.clone().unwrap_or_else(|| format!("http://{address}"));
    let flow = build(&config, store.clone(), public_url)?;
    snapshot::rebuild(&flow).await?;

    let stop = CancellationToken::new();
    let tasks = TaskTracker::new();
    flow.start(&stop, &tasks);
    let draining = Arc::new(AtomicBool::new(false));
    let edge = Edge { flow: flow.clone(), draining: Arc::clone(&draining), shutdown: stop.clone() };
    let grace = Duration::from_millis(config.shutdown_grace_ms);
    let serving = tokio::spawn(server::serve(listener, router(edge), stop.clone(), grace));

    if config.allow_loopback_providers {
        eprintln!(
            "Plugins may reach this machine over plain http (allow_loopback_providers): for tests and demos only."
        );
    }
    println!("tidegate listens on http://{address}");
    tracing::info!(%address, database = ?store.dialect(), "serving");

    asked_to_stop().await?;
    tracing::info!("draining");
    draining.store(true, Ordering::Relaxed);
    stop.cancel();
    tasks.close();
    if tokio::time::timeout(grace, tasks.wait()).await.is_err() {
        tracing::warn!("work under way was left behind; its leases will expire");
    }
    match serving.await {
        Ok(result) => result?,
        Err(error) => bail!("the listener failed: {error}"),
    }
    store.close().await;
    tracing::info!("stopped");
    Ok(())
}

fn build(config: &Config, store: Store, public_url: String) -> anyhow::Result<Flow> {
    let policy = Policy { allow_loopback: config.allow_loopback_providers };
    let services = Services {
        memory: Arc::new(store.clone()),
        client: outgoing::Client::new(policy)?,
        host: tokio::runtime::Handle::current(),
        limits: HostLimits::default(),
    };
    let mut sandbox = SandboxConfig::new(config.data_dir.join("compiled"));
    sandbox.guest_threads = config.guest_threads;
    sandbox.instances = config.instances;
    sandbox.calls_per_connection = config.calls_per_connection;
    sandbox.max_component_bytes = config.plugin_max_bytes;
    let sandbox = Sandbox::new(sandbox, Arc::new(services))?;
    let tuning = Tuning {
        public_url,
        body_limit_bytes: config.body_limit_bytes,
        component_limit_bytes: config.plugin_max_bytes,
        max_backlog: config.max_backlog,
        intake_retry: Schedule(config.intake_retry_ms.clone()),
        delivery_retry: Schedule(config.delivery_retry_ms.clone()),
        attachment_retry: Schedule(config.attachment_retry_ms.clone()),
        lease_ms: config.lease_ms,
        poll_ms: config.poll_ms,
        keep_done_ms: config.keep_done_ms,
        keep_dead_ms: config.keep_dead_ms,
        calls_per_connection: config.calls_per_connection,
        at_once: config.work_at_once,
    };
    Ok(Flow {
        store,
        sandbox,
        registry: Arc::new(Registry::new(Snapshot::new(0, Vec::new(), Vec::new(), Vec::new()))),
        tuning: Arc::new(tuning),
        counts: Arc::new(Counts::default()),
        rebuilding: Arc::new(tokio::sync::Mutex::new(())),
    })
}

/// One server per data directory.
fn lock(config: &Config) -> anyhow::Result<File> {
    let path = config.data_dir.join("tidegate.lock");
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .with_context(|| format!("{} cannot be opened", path.display()))?;
    if file.try_lock().is_err() {
        bail!(
            "another tidegate serves {}; stop it, or choose another --data",
            config.data_dir.display()
        );
    }
    Ok(file)
}

async fn asked_to_stop() -> anyhow::Result<()> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        _ = terminate.recv() => {}
        result = tokio::signal::ctrl_c() => result?,
    }
    Ok(())
}

/// Where this configuration keeps everything.
pub(crate) fn location(config: &Config) -> Location {
    Location {
        database_url: config.database_url.clone(),
        data_dir: config.data_dir.clone(),
        connections: config.connections,
    }
}

/// Makes the data directory, for its owner only.
pub(crate) fn make_data_dir(config: &Config) -> anyhow::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
        .create(&config.data_dir)
        .with_context(|| format!("the data directory {} cannot be made", config.data_dir.display()))
}
