//! The harness: what stands around the real binary while it is tested, shown and measured.
//!
//! Tests drive the server over HTTP as its users do. Only the provider is a stand-in
//! ([`slack::Slack`]), and it too speaks real HTTP; the databases are real ([`postgres`]); the
//! process is the one that operators run ([`desk::Server`]).
//!
//! | module | what it is |
//! |---|---|
//! | [`slack`] | a small Slack: takes posts, signs and delivers events, fails on request |
//! | [`desk`] | the binary, started, stopped, killed and frozen; a desk that is ready to work |
//! | [`client`] | one actor at the HTTP interface |
//! | [`postgres`] | a throw-away PostgreSQL cluster and fresh databases in it |
//! | [`places`] | where the built things are |
//! | [`component`] | other releases of a built component |
//!
//! A failed step of a test ends it with one sentence, so these modules may panic where only tests
//! call them; what the task runner uses as well returns errors.

#![allow(clippy::panic, clippy::expect_used, reason = "test support: a failed step ends the test")]

pub mod client;
pub mod component;
pub mod desk;
pub mod places;
pub mod postgres;
pub mod slack;

use std::future::Future;
use std::time::{Duration, Instant};

/// How long [`eventually`] waits. Far above what a healthy system needs, so that a busy machine
/// does not fail a test.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Polls until `probe` answers, and returns what it answered.
///
/// `what` completes the sentence "waited 30 s for …" of the panic that ends a test in vain.
pub async fn eventually<T, F, P>(what: &str, mut probe: F) -> T
where
    F: FnMut() -> P,
    P: Future<Output = Option<T>>,
{
    let started = Instant::now();
    loop {
        if let Some(found) = probe().await {
            return found;
        }
        assert!(started.elapsed() < PATIENCE, "waited {} s for {what}", PATIENCE.as_secs());
        tokio::time::sleep(Duration::from_millis(15)).await;
    }
}

/// Writes a test once and runs it on SQLite and on PostgreSQL.
///
/// `on_both! { async fn a_sentence(database) { … } }` makes the tests `a_sentence::sqlite` and
/// `a_sentence::postgres`; the body gets the [`desk::Database`].
#[macro_export]
macro_rules! on_both {
    ($( $(#[$note:meta])* async fn $name:ident($database:ident) $body:block )+) => { $(
        $(#[$note])*
        async fn $name($database: $crate::desk::Database) $body

        mod $name {
            #[::tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                super::$name($crate::desk::Database::Sqlite).await;
            }

            #[::tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres() {
                super::$name($crate::desk::Database::Postgres).await;
            }
        }
    )+ };
}
