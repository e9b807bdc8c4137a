//! A throw-away PostgreSQL cluster from the installed binaries, and fresh databases in it.
//!
//! The cluster lives in a temporary directory, listens on a free loopback port and is never run as
//! root. A watcher shell holds it: when the program that started it ends, in whatever way, the
//! watcher's input closes, and it stops the server and removes the directory.

use anyhow::{Context, bail};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Names a running cluster (`postgres://user@host:port`), so that many test programs share one.
pub const CLUSTER: &str = "TIDEGATE_TEST_POSTGRES";

const USER: &str = "tidegate";
const START_LIMIT: Duration = Duration::from_secs(60);

/// Stops the server and removes its directory when its input closes. Arguments: the directory,
/// then the server's command line.
const WATCHER: &str = r#"
folder=$1
shift
trap : INT TERM HUP
"$@" </dev/null >"$folder/log" 2>&1 &
server=$!
read -r _
kill -INT "$server"
wait "$server"
rm -rf "$folder"
"#;

/// A running cluster. It ends when this is dropped.
pub struct Cluster {
    watcher: Child,
    binaries: PathBuf,
    folder: PathBuf,
    port: u16,
}

/// How the cluster treats the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disk {
    /// Nothing is synced: fast, and safe against everything but a power cut.
    Unsynced,
    /// As in production.
    Synced,
}

impl Cluster {
    /// Makes a cluster and waits until it answers.
    pub fn start(disk: Disk) -> anyhow::Result<Self> {
        let binaries = find_or_install()?;
        let owner = owner()?;
        let folder = own_folder(owner.as_deref())?;
        let data = folder.join("data");
        let mut initdb = as_owner(owner.as_deref(), &binaries.join("initdb"));
        initdb.args([
            "--no-sync",
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C",
            "-U",
            USER,
            "-D",
        ]);
        initdb.arg(&data).current_dir(&folder);
        run(initdb, "initdb")?;

        let port = free_port()?;
        let server = as_owner(owner.as_deref(), &binaries.join("postgres"));
        let mut watcher = Command::new("sh");
        watcher.args(["-c", WATCHER, "watch-postgres"]).arg(&folder);
        watcher.arg(server.get_program()).args(server.get_args()).arg("-D").arg(&data);
        let fsync = if disk == Disk::Synced { "on" } else { "off" };
        for setting in [
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=",
            "max_connections=400",
            "shared_buffers=64MB",
            &format!("port={port}"),
            &format!("fsync={fsync}"),
        ] {
            watcher.args(["-c", setting]);
        }
        watcher.current_dir(&folder).stdin(Stdio::piped()).stdout(Stdio::null());
        let watcher = watcher.spawn().context("starting PostgreSQL")?;
        let cluster = Self { watcher, binaries, folder, port };
        cluster.wait_until_ready()?;
        Ok(cluster)
    }

    /// `postgres://user@host:port`, to be followed by a slash and a database.
    pub fn url(&self) -> String {
        format!("postgres://{USER}@127.0.0.1:{}", self.port)
    }

    /// The process id of the server itself.
    pub fn pid(&self) -> anyhow::Result<u32> {
        let file = self.folder.join("data").join("postmaster.pid");
        let text = std::fs::read_to_string(&file).context("reading PostgreSQL's pid file")?;
        let first = text.lines().next().unwrap_or_default();
        first.trim().parse().context("the first line of PostgreSQL's pid file")
    }

    fn wait_until_ready(&self) -> anyhow::Result<()> {
        let started = Instant::now();
        loop {
            let mut probe = Command::new(self.binaries.join("pg_isready"));
            probe.args(["-q", "-h", "127.0.0.1", "-U", USER, "-d", "postgres", "-p"]);
            probe.arg(self.port.to_string());
            if probe.status().context("running pg_isready")?.success() {
                return Ok(());
            }
            if started.elapsed() > START_LIMIT {
                let log = std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
                bail!("PostgreSQL did not start within {} s:\n{log}", START_LIMIT.as_secs());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.watcher.stdin.take());
        // The watcher ends once the server has; nothing can be done here if it does not.
        drop(self.watcher.wait());
    }
}

/// A fresh, empty database: its URL. The cluster is the one that [`CLUSTER`] names, else one that
/// this program starts and shares among its tests.
pub fn fresh_database() -> anyhow::Result<String> {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    static OWN: Mutex<Option<Cluster>> = Mutex::new(None);
    let cluster = match std::env::var(CLUSTER) {
        Ok(url) => url,
        Err(_) => {
            let mut own = OWN.lock().unwrap_or_else(PoisonError::into_inner);
            match &*own {
                Some(cluster) => cluster.url(),
                None => own.insert(Cluster::start(Disk::Unsynced)?).url(),
            }
        }
    };
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let name = format!("test_{}_{number}", std::process::id());
    create_database(&cluster, &name)
}

/// Creates an empty database in a cluster; the answer is its URL.
pub fn create_database(cluster: &str, name: &str) -> anyhow::Result<String> {
    let mut psql = Command::new(find_or_install()?.join("psql"));
    psql.args(["-q", "-X", "-v", "ON_ERROR_STOP=1", "-d"]);
    psql.arg(format!("{cluster}/postgres")).arg("-c");
    psql.arg(format!("CREATE DATABASE \"{name}\" STRATEGY wal_log"));
    run(psql, "CREATE DATABASE")?;
    Ok(format!("{cluster}/{name}"))
}

/// The folder of a PostgreSQL installation that has everything; on Debian as root it is installed
/// when there is none.
fn find_or_install() -> anyhow::Result<PathBuf> {
    static FOUND: Mutex<Option<PathBuf>> = Mutex::new(None);
    let mut found = FOUND.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(folder) = &*found {
        return Ok(folder.clone());
    }
    let folder = match installed() {
        Some(folder) => folder,
        None => {
            install()?;
            installed().context("PostgreSQL was installed, but initdb is not where it belongs")?
        }
    };
    Ok(found.insert(folder).clone())
}

fn installed() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    if let Ok(versions) = std::fs::read_dir("/usr/lib/postgresql") {
        let mut versions: Vec<PathBuf> =
            versions.flatten().map(|entry| entry.path().join("bin")).collect();
        versions.sort();
        folders.extend(versions.into_iter().rev());
    }
    let complete = |folder: &PathBuf| {
        ["initdb", "postgres", "psql", "pg_isready"].iter().all(|name| folder.join(name).is_file())
    };
    folders.into_iter().find(complete)
}

fn install() -> anyhow::Result<()> {
    let sentence = "PostgreSQL is not installed: install the package `postgresql` (Debian, Ubuntu), \
                    `postgresql-server` (Fedora) or `postgresql@17` (Homebrew)";
    if !is_root()? || !Path::new("/usr/bin/apt-get").is_file() {
        bail!(sentence);
    }
    eprintln!("Installing PostgreSQL with apt-get");
    for arguments in [&["update", "-q"][..], &["install", "-y", "-q", "postgresql"][..]] {
        let mut apt = Command::new("apt-get");
        apt.args(arguments).env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null());
        run(apt, "apt-get").context(sentence)?;
    }
    Ok(())
}

/// The user who shall own the cluster: nobody in particular unless we are root.
fn owner() -> anyhow::Result<Option<String>> {
    if !is_root()? {
        return Ok(None);
    }
    for name in ["postgres", "nobody"] {
        if id_of("-u", name).is_ok() {
            return Ok(Some(name.to_owned()));
        }
    }
    bail!("PostgreSQL does not run as root, and there is neither a user `postgres` nor `nobody`")
}

fn own_folder(owner: Option<&str>) -> anyhow::Result<PathBuf> {
    let folder = tempfile::Builder::new().prefix("tidegate-postgres-").tempdir()?.keep();
    if let Some(owner) = owner {
        let (user, group) = (id_of("-u", owner)?, id_of("-g", owner)?);
        std::os::unix::fs::chown(&folder, Some(user), Some(group))
            .with_context(|| format!("giving {} to {owner}", folder.display()))?;
    }
    Ok(folder)
}

fn as_owner(owner: Option<&str>, program: &Path) -> Command {
    let Some(owner) = owner else { return Command::new(program) };
    let mut command = Command::new("setpriv");
    command.args(["--reuid", owner, "--regid"]);
    // Both users have a group of their own; its number never changes while we run.
    command.arg(id_of("-g", owner).unwrap_or_default().to_string());
    command.args(["--clear-groups", "--"]).arg(program);
    command
}

/// Whether this runs as root.
pub fn is_root() -> anyhow::Result<bool> {
    let output = Command::new("id").arg("-u").output().context("running id")?;
    Ok(output.stdout.trim_ascii() == b"0")
}

fn id_of(kind: &str, name: &str) -> anyhow::Result<u32> {
    let output = Command::new("id").args([kind, name]).output().context("running id")?;
    std::str::from_utf8(&output.stdout)?.trim().parse().with_context(|| format!("no user {name}"))
}

fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

fn run(mut command: Command, what: &str) -> anyhow::Result<()> {
    let output = command.output().with_context(|| format!("running {what}"))?;
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr);
        bail!("{what} failed ({}): {}", output.status, complaint.trim());
    }
    Ok(())
}
