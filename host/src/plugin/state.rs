//! What the host keeps for one instance.

use super::engine::Limits;
use super::output::Output;
use crate::capability::context::CallContext;
use crate::capability::log::Level;
use crate::domain::exchange::UnixMs;
use std::time::Duration;
use wasmtime::component::ResourceTable;
use wasmtime::{StoreLimits, StoreLimitsBuilder};
use wasmtime_wasi::{HostWallClock, WasiCtx, WasiCtxView, WasiView};

/// Most WASI resources of one instance: streams and pollables.
const RESOURCES: usize = 128;
/// Lines of output that explain a failed call.
const LAST_LINES: usize = 4;

/// What the host keeps for one instance.
pub struct GuestState {
    pub(super) context: CallContext,
    pub(super) limits: StoreLimits,
    /// Ticks that the guest may still use.
    pub(super) ticks: u64,
    table: ResourceTable,
    /// Made when the guest first asks for it: most never do.
    wasi: Option<WasiCtx>,
    output: Output,
}

impl GuestState {
    pub(super) fn new(context: CallContext, limits: &Limits, ticks: u64) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(RESOURCES);
        Self {
            context,
            limits: StoreLimitsBuilder::new()
                .memory_size(limits.memory_bytes)
                .table_elements(limits.table_elements)
                .memories(limits.memories)
                .tables(limits.tables)
                .instances(limits.core_instances)
                .trap_on_grow_failure(true)
                .build(),
            ticks,
            table,
            wasi: None,
            output: Output::default(),
        }
    }

    /// The end of what the guest wrote to standard output and error before its call failed.
    pub(super) fn last_words(self) -> String {
        if self.wasi.is_none() {
            return String::new();
        }
        let lines = self.output.lines();
        let told: Vec<&str> = lines
            .iter()
            .map(|line| line.trim())
            .filter(|line| !line.is_empty() && !line.starts_with("note: run with"))
            .collect();
        told.get(told.len().saturating_sub(LAST_LINES)..).unwrap_or_default().join(" ")
    }

    /// What the call leaves behind, what it wrote to standard output among its log lines.
    pub(super) fn into_context(mut self) -> CallContext {
        if self.wasi.is_some() {
            for line in self.output.lines() {
                crate::capability::log::log(&mut self.context, Level::Info, &line, &[]);
            }
        }
        self.context
    }
}

/// A clock that stands at the arrival of the request.
struct Standing(UnixMs);

impl HostWallClock for Standing {
    fn resolution(&self) -> Duration {
        Duration::from_millis(1)
    }

    fn now(&self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.0).unwrap_or_default())
    }
}

impl WasiView for GuestState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let (received_at, output) = (self.context.received_at, &self.output);
        let ctx = self.wasi.get_or_insert_with(|| {
            let mut builder = WasiCtx::builder();
            builder.stdout(output.clone()).stderr(output.clone()).max_random_size(64 << 10);
            if let Some(at) = received_at {
                builder.wall_clock(Standing(at));
            }
            builder.build()
        });
        WasiCtxView { ctx, table: &mut self.table }
    }
}
