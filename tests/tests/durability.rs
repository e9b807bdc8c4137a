//! Durability is seen: the disk has the webhook before the provider has the 2xx.

#![cfg(target_os = "linux")]
#![allow(clippy::expect_used, clippy::panic, reason = "a failed step ends the test")]

use std::path::Path;
use std::process::{Child, Command, Stdio};
use tidegate_tests::desk::{Database, Desk, SlackDesk, slack_desk};
use tidegate_tests::eventually;
use tidegate_tests::postgres::{Cluster, Disk};
use tidegate_tests::slack::{CHANNEL, PERSON};

const WEBHOOKS: usize = 8;

/// One system call of interest.
#[derive(Debug)]
struct Call {
    /// When it began and ended, in seconds.
    began: f64,
    ended: f64,
    what: What,
}

#[derive(Debug, PartialEq)]
enum What {
    /// A webhook's bytes came in.
    Asked,
    /// The bytes of a 2xx go out.
    Answered,
    /// The database's log was written to the disk.
    Synced,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_syncs_before_the_answer_leaves() {
    let mut desk = slack_desk(Database::Sqlite).await;
    desk.desk.stop().await;
    let trace = desk.home().folder().join("trace");
    let path = trace.display().to_string();
    let wrapper = [&["strace", "-D"], TRACE, &["-o", &path]].concat();
    desk.start_under(&wrapper).await;
    deliver_one_after_the_other(&desk).await;
    desk.desk.stop().await;
    let calls = eventually("the trace", || async { complete(&read(&trace)) }).await;
    judge(&calls);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_syncs_before_the_answer_leaves() {
    // A cluster of its own, which syncs as one in production does.
    let cluster = Cluster::start(Disk::Synced).expect("a cluster");
    let folder = tempfile::tempdir().expect("a folder");
    let database_trace = folder.path().join("database-trace");
    let tracer = Tracer::attach(cluster.pid().expect("its pid"), &database_trace).await;
    let url =
        tidegate_tests::postgres::create_database(&cluster.url(), "durable").expect("a database");
    let desk = Desk::on_database(&url, "").await;
    let mut desk = SlackDesk::open(desk).await.expect("a desk");
    desk.desk.stop().await;
    let trace = folder.path().join("trace");
    let path = trace.display().to_string();
    let wrapper = [&["strace", "-D"], TRACE, &["-o", &path]].concat();
    desk.start_under(&wrapper).await;
    deliver_one_after_the_other(&desk).await;
    desk.desk.stop().await;
    drop(tracer);
    let calls = eventually("the traces", || async {
        let mut calls = read(&trace);
        calls.extend(read(&database_trace));
        calls.sort_by(|one, other| one.began.total_cmp(&other.began));
        complete(&calls)
    })
    .await;
    judge(&calls);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_answered_503() {
    let mut desk = slack_desk(Database::Sqlite).await;
    desk.hear_ticket("There is room").await;
    desk.desk.stop().await;
    // The data moves to a small file system that only this server sees.
    let used = size_of(&desk.home().data());
    let script = format!(
        "set -e; cp -a \"$0\" \"$0.before\"; mount -t tmpfs -o size={} tmpfs \"$0\"; \
         cp -a \"$0.before/.\" \"$0\"; exec \"$@\"",
        used + (6 << 20)
    );
    let data = desk.home().data().display().to_string();
    let mut wrapper = vec!["unshare", "--mount"];
    if !tidegate_tests::postgres::is_root().expect("who runs this") {
        wrapper.extend(["--user", "--map-root-user"]);
    }
    wrapper.extend(["sh", "-c", &script, &data]);
    desk.start_under(&wrapper).await;

    let mut accepted = Vec::new();
    let mut refused = None;
    for number in 0..200 {
        let text = format!("{number} {}", "x".repeat(100_000));
        let event = desk.slack.message(CHANNEL, PERSON, &text);
        let answer = desk.slack.deliver(&event).await;
        if answer.is_success() {
            accepted.push(number);
            continue;
        }
        assert_eq!(answer.status, 503, "{}", answer.text);
        assert!(answer.header("retry-after").parse::<u32>().is_ok(), "{:?}", answer.headers);
        refused = Some(event);
        break;
    }
    let refused = refused.expect("the disk never filled");
    assert!(!accepted.is_empty(), "the disk was full from the start");
    // The server lives, and says that it is not ready to take anything.
    desk.anybody().get("/healthz").await;
    desk.slack.deliver(&refused).await.expect_status(503);

    // With room again it goes on by itself, and has all that it acknowledged.
    let pid = desk.server().pid().to_string();
    let grown = Command::new("nsenter")
        .args(["--target", &pid, "--mount", "mount", "-o", "remount,size=200m", &data])
        .status()
        .expect("nsenter");
    assert!(grown.success(), "the file system did not grow");
    eventually("the webhook to be taken again", || async {
        desk.slack.deliver(&refused).await.is_success().then_some(())
    })
    .await;
    desk.all_worked().await;
    let mut texts = Vec::new();
    for ticket in desk.admin.list_all("/api/v1/tickets").await {
        for message in desk.messages(&ticket).await {
            texts.push(message["body"]["text"].as_str().unwrap_or_default().to_owned());
        }
    }
    for number in accepted {
        let there = texts.iter().filter(|text| text.starts_with(&format!("{number} x"))).count();
        assert_eq!(there, 1, "webhook {number} was acknowledged");
    }
}

const TRACE: &[&str] = &[
    "-f",
    "-y",
    "-ttt",
    "-T",
    "-s",
    "48",
    "-e",
    "trace=recvfrom,read,sendto,sendmsg,write,writev,fdatasync,fsync",
];

async fn deliver_one_after_the_other(desk: &SlackDesk) {
    for number in 0..WEBHOOKS {
        desk.hear(&format!("Durable {number}")).await;
        // Nothing else syncs while the next one is on its way.
        desk.all_worked().await;
    }
}

/// The calls, once all webhooks are among them.
fn complete(calls: &[Call]) -> Option<Vec<What>> {
    let asked = calls.iter().filter(|call| call.what == What::Asked).count();
    let answered = calls.iter().filter(|call| call.what == What::Answered).count();
    (asked >= WEBHOOKS && answered >= WEBHOOKS).then(|| order(calls))
}

/// Begins and ends in one line of time: a sync counts when it has ended, an answer when it begins.
fn order(calls: &[Call]) -> Vec<What> {
    let mut moments: Vec<(f64, What)> = Vec::new();
    for call in calls {
        match call.what {
            What::Asked => moments.push((call.ended, What::Asked)),
            What::Answered => moments.push((call.began, What::Answered)),
            // One that began before the webhook came says nothing about it.
            What::Synced => {
                let before = calls
                    .iter()
                    .filter(|other| other.what == What::Asked)
                    .any(|asked| call.began < asked.ended && asked.ended < call.ended);
                if !before {
                    moments.push((call.ended, What::Synced));
                }
            }
        }
    }
    moments.sort_by(|one, other| one.0.total_cmp(&other.0));
    moments.into_iter().map(|(_, what)| what).collect()
}

fn judge(order: &[What]) {
    let mut open = false;
    let mut synced = false;
    let mut seen = 0;
    for what in order {
        match what {
            What::Asked => (open, synced) = (true, false),
            What::Synced => synced = true,
            What::Answered if open => {
                assert!(synced, "webhook {seen} was answered before the disk had it: {order:?}");
                seen += 1;
                open = false;
            }
            What::Answered => {}
        }
    }
    assert!(seen >= WEBHOOKS, "only {seen} webhooks are in the trace");
}

/// Reads a trace: `pid time call(…) = result <duration>`, where a call that another thread
/// interrupts is written in two lines.
fn read(path: &Path) -> Vec<Call> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let mut waiting: Vec<(String, String)> = Vec::new();
    let mut calls = Vec::new();
    for line in text.lines() {
        let Some((pid, rest)) = line.trim_start().split_once(' ') else { continue };
        let Some((time, call)) = rest.trim_start().split_once(' ') else { continue };
        let Ok(time) = time.parse::<f64>() else { continue };
        let (began, whole) = if let Some(start) = call.strip_suffix("<unfinished ...>") {
            waiting.push((pid.to_owned(), format!("{time} {start}")));
            continue;
        } else if call.starts_with("<... ") {
            let Some(place) = waiting.iter().position(|(other, _)| other == pid) else { continue };
            let (_, start) = waiting.swap_remove(place);
            let Some((began, start)) = start.split_once(' ') else { continue };
            let end = call.split_once("resumed>").map_or("", |(_, end)| end);
            (began.parse().unwrap_or(time), format!("{start}{end}"))
        } else {
            (time, call.to_owned())
        };
        let Some(what) = meaning(&whole) else { continue };
        let lasted =
            whole.rsplit_once('<').and_then(|(_, end)| end.strip_suffix('>')?.parse::<f64>().ok());
        calls.push(Call { began, ended: began + lasted.unwrap_or(0.0), what });
    }
    calls
}

fn meaning(call: &str) -> Option<What> {
    let name = call.split('(').next()?;
    match name {
        "recvfrom" | "read" if call.contains("\"POST /api/webhooks/") => Some(What::Asked),
        "sendto" | "sendmsg" | "write" | "writev" if call.contains("\"HTTP/1.1 2") => {
            Some(What::Answered)
        }
        "fdatasync" | "fsync" => {
            let of_the_log = call.contains("tidegate.db-wal") || call.contains("/pg_wal/");
            (of_the_log && call.contains(") = 0")).then_some(What::Synced)
        }
        _ => None,
    }
}

fn size_of(folder: &Path) -> u64 {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        bytes += if path.is_dir() {
            size_of(&path)
        } else {
            entry.metadata().expect("a file").len() + 4096
        };
    }
    bytes
}

/// A tracer of a running process and of all that it starts. It ends when this is dropped.
struct Tracer(Child);

impl Tracer {
    async fn attach(pid: u32, trace: &Path) -> Self {
        let tracer = Command::new("strace")
            .args(TRACE)
            .arg("-o")
            .arg(trace)
            .args(["-p", &pid.to_string()])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("strace is installed");
        let status = format!("/proc/{pid}/status");
        eventually("the tracer to be attached", || async {
            let status = std::fs::read_to_string(&status).ok()?;
            (!status.contains("TracerPid:\t0")).then_some(())
        })
        .await;
        Self(tracer)
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        // TERM lets go of what is traced; killing it would leave that stopped.
        let pid = self.0.id().to_string();
        drop(Command::new("kill").args(["-TERM", &pid]).status());
        drop(self.0.wait());
    }
}
