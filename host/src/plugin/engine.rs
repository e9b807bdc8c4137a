//! The engine, its ticker, and the threads that guests run on.

use super::cache::Cache;
use super::state::GuestState;
use super::wit::v0_1;
use crate::capability::Export;
use crate::capability::context::Services;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;
use wasmtime::component::Linker;
use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig,
};

/// One tick of the deadline.
const TICK: Duration = Duration::from_millis(1);
/// Address space of one linear memory: so much that bounds checks cost nothing.
const RESERVATION: u64 = 4 << 30;
/// Address space of one linear memory on machines that have less of it.
const SMALL_RESERVATION: u64 = 256 << 20;

/// Bytes of a memory, and of a table, that stay with their slot between calls.
const KEPT_BYTES: usize = 256 << 10;

/// How much one instance may use.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes of one linear memory.
    pub memory_bytes: usize,
    /// Elements of one table.
    pub table_elements: usize,
    /// Linear memories of one component.
    pub memories: usize,
    /// Tables of one component.
    pub tables: usize,
    /// Core instances of one component.
    pub core_instances: usize,
    /// Bytes that cross the boundary in one call, in each direction.
    pub boundary_bytes: usize,
    /// Milliseconds of guest time in `verify`.
    pub verify_ms: u64,
    /// Milliseconds of guest time in descriptions.
    pub describe_ms: u64,
    /// Milliseconds of guest time elsewhere.
    pub work_ms: u64,
    /// Milliseconds from beginning to end of `verify`: a provider waits for it.
    pub verify_outer_ms: u64,
    /// Milliseconds from beginning to end of another call without network.
    pub outer_ms: u64,
    /// Milliseconds from beginning to end of a call with network.
    pub network_outer_ms: u64,
    /// Milliseconds that a call waits for room.
    pub wait_ms: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_bytes: 64 << 20,
            table_elements: 20_000,
            memories: 8,
            tables: 16,
            core_instances: 64,
            boundary_bytes: 8 << 20,
            verify_ms: 250,
            describe_ms: 1_000,
            work_ms: 2_000,
            verify_outer_ms: 1_000,
            outer_ms: 10_000,
            network_outer_ms: 45_000,
            wait_ms: 2_000,
        }
    }
}

impl Limits {
    /// Milliseconds of guest time that an export has.
    pub(super) fn guest_ms(&self, export: Export) -> u64 {
        match export {
            Export::IdentityDescribe | Export::ChannelDescribe | Export::IntegrationDescribe => {
                self.describe_ms
            }
            Export::Verify => self.verify_ms,
            Export::RenderCards
            | Export::Inbound
            | Export::Outbound
            | Export::DeliveryEvent
            | Export::Parse
            | Export::Send
            | Export::Fetch
            | Export::Check
            | Export::Connect
            | Export::Disconnect
            | Export::Tick
            | Export::Choices => self.work_ms,
        }
    }

    /// Milliseconds that an export has from beginning to end.
    pub(super) fn outer_ms(&self, export: Export) -> u64 {
        match export {
            Export::Verify => self.verify_outer_ms,
            _ if export.has_network() => self.network_outer_ms,
            _ => self.outer_ms,
        }
    }
}

/// How the sandbox is set up.
#[derive(Clone, Debug)]
pub struct SandboxConfig {
    /// Where compiled code is kept, if anywhere. Nobody but this host may write there.
    pub cache_dir: Option<PathBuf>,
    /// Threads that guests run on.
    pub guest_threads: usize,
    /// Instances at the same time.
    pub instances: u32,
    /// Calls of one connection at the same time.
    pub calls_per_connection: usize,
    /// Largest component, in bytes.
    pub max_component_bytes: usize,
    /// How much one instance may use.
    pub limits: Limits,
}

impl SandboxConfig {
    /// The usual setup.
    pub fn new(cache_dir: PathBuf) -> Self {
        Self {
            cache_dir: Some(cache_dir),
            guest_threads: std::thread::available_parallelism().map_or(2, usize::from),
            instances: 64,
            calls_per_connection: 8,
            max_component_bytes: 32 << 20,
            limits: Limits::default(),
        }
    }
}

/// The sandbox could not be started.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the sandbox could not be started: {0}")]
pub struct SandboxError(String);

impl SandboxError {
    fn of(error: impl std::fmt::Display) -> Self {
        Self(format!("{error:#}"))
    }
}

/// The sandbox. Cheap to clone.
#[derive(Clone)]
pub struct Sandbox {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) engine: Engine,
    pub(super) linker: Linker<GuestState>,
    pub(super) services: Arc<Services>,
    pub(super) config: SandboxConfig,
    pub(super) cache: Option<Cache>,
    /// Room for instances: the pool itself answers "full" with an error.
    pub(super) room: Arc<Semaphore>,
    guests: Option<Runtime>,
}

impl std::fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sandbox").field("config", &self.inner.config).finish_non_exhaustive()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(guests) = self.guests.take() {
            guests.shutdown_background();
        }
    }
}

impl Inner {
    /// The threads that guests run on.
    pub(super) fn guests(&self) -> Option<&tokio::runtime::Handle> {
        self.guests.as_ref().map(Runtime::handle)
    }
}

impl Sandbox {
    /// Starts the sandbox: the engine, its ticker, the guests' threads.
    ///
    /// # Errors
    /// The machine does not have what the pool needs, or a thread could not be started.
    pub fn new(config: SandboxConfig, services: Arc<Services>) -> Result<Self, SandboxError> {
        let engine = engine(config.instances, &config.limits)?;
        let linker = linker(&engine).map_err(SandboxError::of)?;
        let guests = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(config.guest_threads.max(1))
            .thread_name("guest")
            .enable_time()
            .build()
            .map_err(SandboxError::of)?;
        start_ticker(&engine)?;
        let room = Arc::new(Semaphore::new(usize::try_from(config.instances).unwrap_or(1)));
        let guests = Some(guests);
        let cache = config.cache_dir.as_deref().and_then(|path| Cache::open(&engine, path));
        let inner = Inner { engine, linker, services, config, cache, room, guests };
        Ok(Self { inner: Arc::new(inner) })
    }
}

/// Whether an engine with this many instances can be made here.
///
/// # Errors
/// It cannot, and why.
pub fn try_engine(instances: u32) -> Result<(), SandboxError> {
    engine(instances, &Limits::default()).map(|_| ())
}

fn engine(instances: u32, limits: &Limits) -> Result<Engine, SandboxError> {
    let full = Engine::new(&settings(instances, limits, RESERVATION));
    // Machines with less address space pay for bounds checks instead.
    full.or_else(|_| Engine::new(&settings(instances, limits, SMALL_RESERVATION)))
        .map_err(SandboxError::of)
}

fn settings(instances: u32, limits: &Limits, reservation: u64) -> Config {
    let count = |each: usize| instances.saturating_mul(u32::try_from(each).unwrap_or(u32::MAX));
    let per = |each: usize| u32::try_from(each).unwrap_or(u32::MAX);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        .total_core_instances(count(limits.core_instances))
        .total_memories(count(2))
        .total_tables(count(4))
        .total_stacks(instances)
        .max_core_instances_per_component(per(limits.core_instances))
        .max_memories_per_component(per(limits.memories))
        .max_tables_per_component(per(limits.tables))
        .max_memory_size(limits.memory_bytes)
        .table_elements(limits.table_elements)
        .max_unused_warm_slots(instances.min(32))
        // A slot is free again when its instance is gone, not some calls later: `room` counts on it.
        .decommit_batch_size(1);
    if PoolingAllocationConfig::is_pagemap_scan_available() {
        // The kernel names the pages that a call wrote, and only they are put back: no page is
        // unmapped, none faults again. That halves the time of a call.
        pool.pagemap_scan(Enabled::Yes)
            .linear_memory_keep_resident(KEPT_BYTES)
            .table_keep_resident(KEPT_BYTES);
    } else {
        pool.linear_memory_keep_resident(0).table_keep_resident(0);
    }
    let mut config = Config::new();
    config
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool))
        .memory_init_cow(true)
        .memory_reservation(reservation)
        .epoch_interruption(true)
        .cranelift_opt_level(OptLevel::Speed)
        .wasm_component_model(true)
        .wasm_relaxed_simd(false)
        .wasm_memory64(false)
        .wasm_tail_call(false)
        .wasm_backtrace_max_frames(None)
        .max_wasm_stack(512 << 10)
        .async_stack_size(1 << 20);
    config
}

fn linker(engine: &Engine) -> wasmtime::Result<Linker<GuestState>> {
    use wasmtime_wasi::WasiView;
    use wasmtime_wasi::cli::{WasiCli, WasiCliView};
    use wasmtime_wasi::p2::bindings::{cli, random};
    use wasmtime_wasi::random::WasiRandom;

    let mut linker = Linker::new(engine);
    v0_1::add_to_linker(&mut linker)?;
    // io, clocks, random, standard streams; then the rest of cli and random. No filesystem, no
    // sockets, no wasi:http.
    wasmtime_wasi::p2::add_to_linker_proxy_interfaces_async(&mut linker)?;
    let l = &mut linker;
    random::insecure::add_to_linker::<_, WasiRandom>(l, |t: &mut GuestState| t.ctx().ctx.random())?;
    random::insecure_seed::add_to_linker::<_, WasiRandom>(l, |t| t.ctx().ctx.random())?;
    cli::exit::add_to_linker::<_, WasiCli>(l, GuestState::cli)?;
    cli::environment::add_to_linker::<_, WasiCli>(l, GuestState::cli)?;
    cli::terminal_input::add_to_linker::<_, WasiCli>(l, GuestState::cli)?;
    cli::terminal_output::add_to_linker::<_, WasiCli>(l, GuestState::cli)?;
    cli::terminal_stdin::add_to_linker::<_, WasiCli>(l, GuestState::cli)?;
    cli::terminal_stdout::add_to_linker::<_, WasiCli>(l, GuestState::cli)?;
    cli::terminal_stderr::add_to_linker::<_, WasiCli>(l, GuestState::cli)?;
    Ok(linker)
}

/// Counts milliseconds for the engine; ends with it.
fn start_ticker(engine: &Engine) -> Result<(), SandboxError> {
    let weak = engine.weak();
    std::thread::Builder::new()
        .name("epoch".to_owned())
        .spawn(move || {
            while let Some(engine) = weak.upgrade() {
                engine.increment_epoch();
                drop(engine);
                std::thread::sleep(TICK);
            }
        })
        .map(|_| ())
        .map_err(SandboxError::of)
}
