//! Calls of guests: a fresh instance each, on the guests' own threads, within limits.

use super::component::{Callable, Release};
use super::engine::Sandbox;
use super::error::{CallError, OutOfTime};
use super::registry::{Connection, Inbox};
use super::state::GuestState;
use super::wit::v0_1::convert::{self, Unusable};
use super::wit::v0_1::exports::{channel, integration};
use crate::capability::Export;
use crate::capability::context::{CallContext, Leavings};
use crate::clock;
use crate::domain::exchange::{
    Failure, HttpRequest, Outgoing, ProviderEvent, Receipt, UnixMs, Verdict,
};
use crate::domain::plugin::{
    AttemptStamp, Card, ChannelCommand, ChannelDefinition, ChoicePage, Identity,
    IntegrationDefinition, OutboundAction, ReplyTo, TicketView,
};
use futures_util::future::BoxFuture;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{self, Poll, Waker};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;
use wasmtime::component::{ComponentExportIndex, ComponentNamedList, Instance, Lift, Lower};
use wasmtime::{Store, UpdateDeadline};

/// An answer, and what the call leaves behind.
#[derive(Debug)]
pub struct Called<T> {
    /// The answer.
    pub value: T,
    /// kv writes, captured secrets and log lines, to be committed with the outcome.
    pub left: Leavings,
}

/// What became of one event of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ingested {
    /// What the integration found.
    pub event: ProviderEvent,
    /// What the channel asks for. A failing event leaves no kv writes.
    pub outcome: Result<Vec<ChannelCommand>, Failure>,
}

/// What went wrong inside a call: the runtime's error, or an answer that cannot be used.
enum Wrong {
    Runtime(wasmtime::Error),
    Answer(Export, Unusable),
    NotExported(Export),
}

impl From<wasmtime::Error> for Wrong {
    fn from(error: wasmtime::Error) -> Self {
        Self::Runtime(error)
    }
}

/// An instance in the middle of a call.
struct Live {
    store: Store<GuestState>,
    instance: Instance,
    callable: Callable,
}

impl Live {
    /// Goes on with the next export.
    fn enter(&mut self, export: Export) {
        self.store.data_mut().context.enter(export);
    }

    /// Calls a function by its place.
    async fn invoke<P, R>(
        &mut self,
        export: Export,
        at: Option<ComponentExportIndex>,
        parameters: P,
    ) -> Result<R, Wrong>
    where
        P: ComponentNamedList + Lower + Send + Sync,
        R: ComponentNamedList + Lift + Send + Sync + 'static,
    {
        let at = at.ok_or(Wrong::NotExported(export))?;
        let function = self.instance.get_typed_func::<P, R>(&mut self.store, at)?;
        Ok(function.call_async(&mut self.store, parameters).await?)
    }

    fn channel(&mut self, export: Export) -> Result<channel::Guest, Wrong> {
        let indices = self.callable.channel.as_ref().ok_or(Wrong::NotExported(export))?;
        Ok(indices.load(&mut self.store, &self.instance)?)
    }

    fn integration(&mut self, export: Export) -> Result<integration::Guest, Wrong> {
        let indices = self.callable.integration.as_ref().ok_or(Wrong::NotExported(export))?;
        Ok(indices.load(&mut self.store, &self.instance)?)
    }
}

type Work<T> = Box<dyn for<'l> FnOnce(&'l mut Live) -> BoxFuture<'l, Result<T, Wrong>> + Send>;

/// An answer of the interface, or an answer that cannot be used.
fn usable<T>(export: Export, converted: Result<T, Unusable>) -> Result<T, Wrong> {
    converted.map_err(|unusable| Wrong::Answer(export, unusable))
}

/// The inner result of an export, converted on both sides.
fn answered<A, T>(
    export: Export,
    answer: Result<A, super::wit::v0_1::imports::types::Failure>,
    convert: impl FnOnce(A) -> Result<T, Unusable>,
) -> Result<Result<T, Failure>, Wrong> {
    match answer {
        Ok(answer) => usable(export, convert(answer)).map(Ok),
        Err(failure) => Ok(Err(convert::failure(failure))),
    }
}

/// How long a component that used up a tick goes without beginning where it is asked: from the
/// first, in milliseconds, doubled by each further tick up to the second.
const AWAY_MS: (u64, u64) = (25, 1_000);

/// Whether a component is quick enough to begin on its caller's thread.
#[derive(Debug)]
pub(super) struct Pace {
    made: Instant,
    /// Milliseconds after `made` until which it begins elsewhere.
    away_until: AtomicU64,
    /// How long it was sent away last.
    away_ms: AtomicU64,
}

impl Pace {
    pub(super) fn new() -> Self {
        Self { made: clock::instant(), away_until: AtomicU64::new(0), away_ms: AtomicU64::new(0) }
    }

    fn ms(&self) -> u64 {
        u64::try_from(self.made.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn is_quick(&self) -> bool {
        let away_until = self.away_until.load(Ordering::Relaxed);
        away_until == 0 || away_until <= self.ms()
    }

    /// It used up a tick. A busy machine does that to good components too, so the first time
    /// counts little.
    fn was_slow(&self) {
        let (least, most) = AWAY_MS;
        let away_ms = (self.away_ms.load(Ordering::Relaxed) * 2).clamp(least, most);
        self.away_ms.store(away_ms, Ordering::Relaxed);
        self.away_until.store(self.ms() + away_ms, Ordering::Relaxed);
    }

    /// It ended in time.
    fn was_quick(&self) {
        let away_ms = self.away_ms.load(Ordering::Relaxed);
        if away_ms > 0 {
            self.away_ms.store(away_ms / 2, Ordering::Relaxed);
        }
    }
}

/// Begins a call on this thread. It gives the thread back when it is done, when it waits for
/// something, or at the next tick of the epoch: what has not ended by then is for the guests' own
/// threads. `Err` is a panic.
fn begin<F: Future>(running: &mut Pin<Box<F>>) -> Result<Poll<F::Output>, ()> {
    // Nobody needs to be woken: whoever takes the call over asks again at once.
    let mut nobody = task::Context::from_waker(Waker::noop());
    catch_unwind(AssertUnwindSafe(|| running.as_mut().poll(&mut nobody))).map_err(|_| ())
}

impl Sandbox {
    /// Runs work in a fresh instance.
    ///
    /// Most calls end in microseconds, far below what handing them to another thread and back costs.
    /// So a call begins here, and moves to the guests' own threads at the first tick of the epoch or
    /// when it has to wait. A component that used up a tick begins there for a while.
    async fn call<T: Send + 'static>(
        &self,
        callable: &Callable,
        export: Export,
        permits: Option<&Arc<Semaphore>>,
        context: CallContext,
        work: Work<T>,
    ) -> Result<Called<T>, CallError> {
        let plugin = Arc::clone(&callable.plugin);
        let limits = &self.inner.config.limits;
        let wait_ms = limits.wait_ms;
        let busy = || CallError::Busy {
            plugin: plugin.to_string(),
            export: export.name(),
            waited_ms: wait_ms,
        };
        // The connection's own limit first, so that one connection cannot fill the pool's queue.
        let own = match permits {
            None => None,
            Some(permits) => Some(admitted(permits, wait_ms).await.ok_or_else(busy)?),
        };
        let room = admitted(&self.inner.room, wait_ms).await.ok_or_else(busy)?;
        let sandbox = self.clone();
        let pace = Arc::clone(&callable.pace);
        let callable = callable.clone();
        let outer = Duration::from_millis(limits.outer_ms(export));
        let running = async move {
            // Held until the instance is gone, whether the caller waits for it or not.
            let _permits = (own, room);
            timeout(outer, sandbox.run(callable, export, context, work)).await
        };
        let host = |detail: &str| CallError::Host {
            plugin: plugin.to_string(),
            export: export.name(),
            detail: detail.to_owned(),
        };
        let mut running = Box::pin(running);
        let begun = if pace.is_quick() { begin(&mut running) } else { Ok(Poll::Pending) };
        let ended = match begun.map_err(|()| host("a host function panicked"))? {
            Poll::Ready(ended) => {
                pace.was_quick();
                ended
            }
            Poll::Pending => {
                let guests = self.inner.guests().ok_or_else(|| host("the server is stopping"))?;
                let task = AbortOnDropHandle::new(guests.spawn(running));
                task.await.map_err(|error| {
                    let panicked = error.is_panic();
                    host(if panicked {
                        "a host function panicked"
                    } else {
                        "the server is stopping"
                    })
                })?
            }
        };
        ended.unwrap_or_else(|_| {
            Err(CallError::Deadline {
                plugin: plugin.to_string(),
                export: export.name(),
                limit_ms: limits.outer_ms(export),
            })
        })
    }

    async fn run<T>(
        &self,
        callable: Callable,
        export: Export,
        context: CallContext,
        work: Work<T>,
    ) -> Result<Called<T>, CallError> {
        let plugin = Arc::clone(&callable.plugin);
        let limits = &self.inner.config.limits;
        let guest_ms = limits.guest_ms(export);
        let state = GuestState::new(context, limits, guest_ms);
        let mut store = Store::new(&self.inner.engine, state);
        store.limiter(|state| &mut state.limits);
        store.set_hostcall_fuel(limits.boundary_bytes);
        // The tick that is under way is not a whole one.
        store.set_epoch_deadline(2);
        let pace = Arc::clone(&callable.pace);
        store.epoch_deadline_callback(move |mut store| {
            pace.was_slow();
            let ticks = &mut store.data_mut().ticks;
            if *ticks == 0 {
                return Err(wasmtime::Error::new(OutOfTime));
            }
            *ticks -= 1;
            Ok(UpdateDeadline::YieldCustom(1, Box::pin(tokio::task::yield_now())))
        });
        let result = match callable.pre.instantiate_async(&mut store).await {
            Err(error) => Err((Wrong::Runtime(error), None)),
            Ok(instance) => {
                let mut live = Live { store, instance, callable };
                let result = work(&mut live).await;
                let Live { store, .. } = live;
                match result {
                    Ok(value) => Ok((value, store)),
                    Err(wrong) => Err((wrong, Some(store))),
                }
            }
        };
        match result {
            Ok((value, store)) => {
                Ok(Called { value, left: store.into_data().into_context().finish() })
            }
            Err((wrong, store)) => {
                let at = store.as_ref().map_or(export, |store| store.data().context.export());
                // The instance is thrown away: after a trap nothing of it can be trusted. What it
                // wrote, such as why it panicked, is for people only.
                let said = store.map(|store| store.into_data().last_words()).unwrap_or_default();
                Err(match wrong {
                    Wrong::Runtime(error) => CallError::of(&plugin, at, guest_ms, &error, &said),
                    Wrong::Answer(export, unusable) => {
                        CallError::unusable(&plugin, export, &unusable)
                    }
                    Wrong::NotExported(export) => {
                        CallError::NotExported { plugin: plugin.to_string(), export: export.name() }
                    }
                })
            }
        }
    }

    fn bare(&self, callable: &Callable, export: Export) -> CallContext {
        CallContext::bare(Arc::clone(&callable.plugin), export, Arc::clone(&self.inner.services))
    }

    pub(super) async fn describe_identity(
        &self,
        callable: &Callable,
    ) -> Result<Identity, CallError> {
        let export = Export::IdentityDescribe;
        let work: Work<Identity> = Box::new(move |live| {
            Box::pin(async move {
                live.callable.check_types(&mut live.store, &live.instance)?;
                let indices = live.callable.identity.as_ref().ok_or(Wrong::NotExported(export))?;
                let guest = indices.load(&mut live.store, &live.instance)?;
                let identity = guest.call_describe(&mut live.store).await?;
                usable(export, convert::identity(identity))
            })
        });
        let context = self.bare(callable, export);
        Ok(self.call(callable, export, None, context, work).await?.value)
    }

    pub(super) async fn describe_channel(
        &self,
        callable: &Callable,
    ) -> Result<ChannelDefinition, CallError> {
        let export = Export::ChannelDescribe;
        let work: Work<ChannelDefinition> = Box::new(move |live| {
            Box::pin(async move {
                let guest = live.channel(export)?;
                let definition = guest.call_describe(&mut live.store).await?;
                usable(export, convert::channel(definition))
            })
        });
        let context = self.bare(callable, export);
        Ok(self.call(callable, export, None, context, work).await?.value)
    }

    pub(super) async fn describe_integration(
        &self,
        callable: &Callable,
    ) -> Result<IntegrationDefinition, CallError> {
        let export = Export::IntegrationDescribe;
        let work: Work<IntegrationDefinition> = Box::new(move |live| {
            Box::pin(async move {
                let guest = live.integration(export)?;
                let definition = guest.call_describe(&mut live.store).await?;
                usable(export, convert::integration(definition))
            })
        });
        let context = self.bare(callable, export);
        Ok(self.call(callable, export, None, context, work).await?.value)
    }

    /// Asks a release who made it: the smallest call there is.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn describe(&self, release: &Arc<Release>) -> Result<Identity, CallError> {
        self.describe_identity(&release.callable).await
    }

    fn of_connection<'c>(
        &self,
        connection: &'c Connection,
        export: Export,
    ) -> Result<(&'c Callable, CallContext), CallError> {
        let release = connection.release.as_ref().ok_or_else(|| {
            CallError::NoRelease(format!("the integration \"{}\"", connection.integration))
        })?;
        let context =
            self.bare(&release.callable, export).with_allowance(Arc::clone(&connection.allowance));
        Ok((&release.callable, context))
    }

    fn of_inbox<'i>(
        &self,
        connection: &Connection,
        inbox: &'i Inbox,
        export: Export,
    ) -> Result<(&'i Callable, CallContext), CallError> {
        let release = inbox
            .release
            .as_ref()
            .ok_or_else(|| CallError::NoRelease(format!("the channel \"{}\"", inbox.channel)))?;
        let context = self
            .bare(&release.callable, export)
            .with_allowance(Arc::clone(&connection.allowance))
            .with_inbox(Arc::clone(&inbox.view));
        Ok((&release.callable, context))
    }

    /// Is this request genuine?
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn verify(
        &self,
        connection: &Arc<Connection>,
        request: HttpRequest,
    ) -> Result<Verdict, CallError> {
        let export = Export::Verify;
        let (callable, context) = self.of_connection(connection, export)?;
        let context = context.received_at(request.received_at);
        let request = convert::request(request);
        let work: Work<Verdict> = Box::new(move |live| {
            Box::pin(async move {
                let at = live.callable.webhook.verify;
                let (verdict,) = live.invoke(export, at, (&request,)).await?;
                usable(export, convert::verdict(verdict))
            })
        });
        Ok(self.call(callable, export, Some(&connection.permits), context, work).await?.value)
    }

    /// What does a genuine request say, and what does the channel ask for? In one instance when one
    /// release serves both.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn ingest(
        &self,
        connection: &Arc<Connection>,
        inbox: Option<&Arc<Inbox>>,
        request: HttpRequest,
    ) -> Result<Called<Result<Vec<Ingested>, Failure>>, CallError> {
        let export = Export::Parse;
        let (callable, mut context) = self.of_connection(connection, export)?;
        let same = match (&connection.release, inbox.and_then(|inbox| inbox.release.as_ref())) {
            (Some(one), Some(other)) => one.digest == other.digest,
            _ => false,
        };
        if let Some(inbox) = inbox {
            context = context.with_inbox(Arc::clone(&inbox.view));
        }
        let request = convert::request(request);
        type Read = Result<(Vec<Ingested>, Vec<ProviderEvent>), Failure>;
        let work: Work<Read> = Box::new(move |live| {
            Box::pin(async move {
                let at = live.callable.webhook.parse;
                let (found,) = live.invoke(export, at, (&request,)).await?;
                let events = match answered(export, found, convert::provider_events)? {
                    Ok(events) => events,
                    Err(failure) => return Ok(Err(failure)),
                };
                if !same {
                    return Ok(Ok((Vec::new(), events)));
                }
                let mut ingested = Vec::with_capacity(events.len());
                for event in events {
                    ingested.push(ask_channel(live, event).await?);
                }
                Ok(Ok((ingested, Vec::new())))
            })
        });
        let called = self.call(callable, export, Some(&connection.permits), context, work).await?;
        let Called { value, mut left } = called;
        let (mut ingested, rest) = match value {
            Ok(found) => found,
            Err(failure) => return Ok(Called { value: Err(failure), left }),
        };
        match inbox {
            _ if rest.is_empty() => {}
            None => {
                let nothing = |event| Ingested { event, outcome: Ok(Vec::new()) };
                ingested.extend(rest.into_iter().map(nothing));
            }
            Some(inbox) => {
                let asked = self.ask_other(connection, inbox, rest).await?;
                ingested.extend(asked.value);
                left.kv.extend(asked.left.kv);
                left.secrets.extend(asked.left.secrets);
                left.logs.extend(asked.left.logs);
            }
        }
        Ok(Called { value: Ok(ingested), left })
    }

    /// The channel is another component's.
    async fn ask_other(
        &self,
        connection: &Arc<Connection>,
        inbox: &Arc<Inbox>,
        events: Vec<ProviderEvent>,
    ) -> Result<Called<Vec<Ingested>>, CallError> {
        let export = Export::Inbound;
        let (callable, context) = self.of_inbox(connection, inbox, export)?;
        let work: Work<Vec<Ingested>> = Box::new(move |live| {
            Box::pin(async move {
                let mut ingested = Vec::with_capacity(events.len());
                for event in events {
                    ingested.push(ask_channel(live, event).await?);
                }
                Ok(ingested)
            })
        });
        self.call(callable, export, Some(&connection.permits), context, work).await
    }

    /// Turns an action into parts.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn outbound(
        &self,
        connection: &Arc<Connection>,
        inbox: &Arc<Inbox>,
        action: OutboundAction,
        to: ReplyTo,
    ) -> Result<Called<Result<Vec<Outgoing>, Failure>>, CallError> {
        let export = Export::Outbound;
        let (callable, context) = self.of_inbox(connection, inbox, export)?;
        let (action, to) = (convert::action_out(action), convert::reply_to_out(to));
        let work: Work<Result<Vec<Outgoing>, Failure>> = Box::new(move |live| {
            Box::pin(async move {
                let guest = live.channel(export)?;
                let parts = guest.call_outbound(&mut live.store, &action, &to).await?;
                answered(export, parts, convert::outgoing_list)
            })
        });
        self.call(callable, export, Some(&connection.permits), context, work).await
    }

    /// Hands one part to the provider.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn send(
        &self,
        connection: &Arc<Connection>,
        part: Outgoing,
        stamp: AttemptStamp,
    ) -> Result<Called<Result<Receipt, Failure>>, CallError> {
        let export = Export::Send;
        let (callable, context) = self.of_connection(connection, export)?;
        let (part, attempt) = (convert::outgoing_out(part), convert::attempt_out(stamp));
        let work: Work<Result<Receipt, Failure>> = Box::new(move |live| {
            Box::pin(async move {
                let guest = live.integration(export)?;
                let receipt = guest.call_send(&mut live.store, &part, &attempt).await?;
                answered(export, receipt, convert::receipt)
            })
        });
        self.call(callable, export, Some(&connection.permits), context, work).await
    }

    /// Brings a remote attachment into a blob; answers its id.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn fetch(
        &self,
        connection: &Arc<Connection>,
        remote: String,
    ) -> Result<Called<Result<String, Failure>>, CallError> {
        let export = Export::Fetch;
        let (callable, context) = self.of_connection(connection, export)?;
        let work: Work<Result<String, Failure>> = Box::new(move |live| {
            Box::pin(async move {
                let guest = live.integration(export)?;
                let blob = guest.call_fetch(&mut live.store, &remote).await?;
                answered(export, blob, convert::blob_id)
            })
        });
        self.call(callable, export, Some(&connection.permits), context, work).await
    }

    /// Are settings and secrets good? A sentence.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn check(
        &self,
        connection: &Arc<Connection>,
    ) -> Result<Called<Result<String, Failure>>, CallError> {
        let export = Export::Check;
        let (callable, context) = self.of_connection(connection, export)?;
        let work: Work<Result<String, Failure>> = Box::new(move |live| {
            Box::pin(async move {
                let guest = live.integration(export)?;
                let said = guest.call_check(&mut live.store).await?;
                answered(export, said, |said| Ok(convert::sentence(said)))
            })
        });
        self.call(callable, export, Some(&connection.permits), context, work).await
    }

    /// How these tickets look on the board; as many cards as tickets.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn render_cards(
        &self,
        connection: &Arc<Connection>,
        inbox: &Arc<Inbox>,
        tickets: Vec<TicketView>,
    ) -> Result<Called<Vec<Card>>, CallError> {
        let export = Export::RenderCards;
        let (callable, context) = self.of_inbox(connection, inbox, export)?;
        let count = tickets.len();
        let tickets: Vec<_> = tickets.into_iter().map(convert::ticket_out).collect();
        let work: Work<Vec<Card>> = Box::new(move |live| {
            Box::pin(async move {
                let guest = live.channel(export)?;
                let cards = guest.call_render_cards(&mut live.store, &tickets).await?;
                usable(export, convert::cards(cards, count))
            })
        });
        self.call(callable, export, Some(&connection.permits), context, work).await
    }

    /// Registers the webhook and the like. Answers `None` when the component has no `lifecycle`.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn connect(
        &self,
        connection: &Arc<Connection>,
        webhook_url: String,
    ) -> Result<Option<Called<Result<(), Failure>>>, CallError> {
        let export = Export::Connect;
        let (callable, context) = self.of_connection(connection, export)?;
        if callable.lifecycle.is_none() {
            return Ok(None);
        }
        let work: Work<Result<(), Failure>> = Box::new(move |live| {
            Box::pin(async move {
                let indices = live.callable.lifecycle.as_ref().ok_or(Wrong::NotExported(export))?;
                let guest = indices.load(&mut live.store, &live.instance)?;
                let done = guest.call_connect(&mut live.store, &webhook_url).await?;
                answered(export, done, Ok)
            })
        });
        self.call(callable, export, Some(&connection.permits), context, work).await.map(Some)
    }

    /// Takes back what `connect` did. Answers `None` when the component has no `lifecycle`.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn disconnect(
        &self,
        connection: &Arc<Connection>,
    ) -> Result<Option<Called<Result<(), Failure>>>, CallError> {
        let export = Export::Disconnect;
        let (callable, context) = self.of_connection(connection, export)?;
        if callable.lifecycle.is_none() {
            return Ok(None);
        }
        let work: Work<Result<(), Failure>> = Box::new(move |live| {
            Box::pin(async move {
                let indices = live.callable.lifecycle.as_ref().ok_or(Wrong::NotExported(export))?;
                let guest = indices.load(&mut live.store, &live.instance)?;
                let done = guest.call_disconnect(&mut live.store).await?;
                answered(export, done, Ok)
            })
        });
        self.call(callable, export, Some(&connection.permits), context, work).await.map(Some)
    }

    /// A page of a list that only the provider knows: its entries and the next cursor. Answers
    /// `None` when the component has no `choices`.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn choices(
        &self,
        connection: &Arc<Connection>,
        of: String,
        query: String,
        cursor: Option<String>,
    ) -> Result<Option<Called<Result<ChoicePage, Failure>>>, CallError> {
        let export = Export::Choices;
        let (callable, context) = self.of_connection(connection, export)?;
        if callable.choices.is_none() {
            return Ok(None);
        }
        let work: Work<Result<ChoicePage, Failure>> = Box::new(move |live| {
            Box::pin(async move {
                let indices = live.callable.choices.as_ref().ok_or(Wrong::NotExported(export))?;
                let guest = indices.load(&mut live.store, &live.instance)?;
                let page =
                    guest.call_choices(&mut live.store, &of, &query, cursor.as_deref()).await?;
                answered(export, page, convert::choices)
            })
        });
        self.call(callable, export, Some(&connection.permits), context, work).await.map(Some)
    }

    /// Looks for news. Answers events and milliseconds until the next time, or `None` when the
    /// component has no `schedule`.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn tick(
        &self,
        connection: &Arc<Connection>,
        now: UnixMs,
    ) -> Result<Option<Called<Result<(Vec<ProviderEvent>, u32), Failure>>>, CallError> {
        let export = Export::Tick;
        let (callable, context) = self.of_connection(connection, export)?;
        if callable.schedule.is_none() {
            return Ok(None);
        }
        let now = u64::try_from(now.0).unwrap_or_default();
        let work: Work<Result<(Vec<ProviderEvent>, u32), Failure>> = Box::new(move |live| {
            Box::pin(async move {
                let indices = live.callable.schedule.as_ref().ok_or(Wrong::NotExported(export))?;
                let guest = indices.load(&mut live.store, &live.instance)?;
                let ticked = guest.call_tick(&mut live.store, now).await?;
                answered(export, ticked, |ticked| {
                    Ok((convert::provider_events(ticked.events)?, ticked.next_ms))
                })
            })
        });
        self.call(callable, export, Some(&connection.permits), context, work).await.map(Some)
    }
}

async fn admitted(
    permits: &Arc<Semaphore>,
    wait_ms: u64,
) -> Option<tokio::sync::OwnedSemaphorePermit> {
    if let Ok(permit) = Arc::clone(permits).try_acquire_owned() {
        return Some(permit);
    }
    let waiting = Arc::clone(permits).acquire_owned();
    timeout(Duration::from_millis(wait_ms), waiting).await.ok()?.ok()
}

/// What the channel makes of one event; an event that fails leaves no kv writes.
async fn ask_channel(live: &mut Live, event: ProviderEvent) -> Result<Ingested, Wrong> {
    let export = match &event {
        ProviderEvent::Inbound(_) => Export::Inbound,
        ProviderEvent::Delivery(_) => Export::DeliveryEvent,
    };
    live.enter(export);
    let mark = live.store.data().context.mark();
    let commands = match event.clone() {
        ProviderEvent::Inbound(event) => {
            let at = live.callable.webhook.inbound;
            let event = convert::inbound_out(event);
            let (commands,) = live.invoke(export, at, (&event,)).await?;
            commands
        }
        ProviderEvent::Delivery(changed) => {
            let guest = live.channel(export)?;
            let changed = convert::delivery_out(changed);
            guest.call_delivery_event(&mut live.store, &changed).await?
        }
    };
    let outcome = answered(export, commands, convert::commands)?;
    if outcome.is_err() {
        live.store.data_mut().context.forget_since(mark);
    }
    Ok(Ingested { event, outcome })
}
