//! `tidegate doctor`.

use crate::config::Config;
use crate::store::dialect::Dialect;
use crate::store::seal::KEY_FILE;
use crate::store::{Store, StoreError};
use std::io::{Read, Write};
use std::process::ExitCode;
use std::time::Duration;

/// What one look found.
enum Finding {
    Good(String),
    Bad { what: String, mend: &'static str },
}

use Finding::{Bad, Good};

pub(super) async fn run(config: &Config) -> anyhow::Result<ExitCode> {
    let findings = [
        data_dir(config),
        key(config),
        database(config).await,
        listener(config),
        sandbox(config),
        clock(),
    ];
    let mut good = true;
    for finding in findings {
        match finding {
            Good(what) => println!("✓ {what}"),
            Bad { what, mend } => {
                good = false;
                println!("✗ {what}");
                println!("  → {mend}");
            }
        }
    }
    println!();
    println!("{}", if good { "Nothing is wrong." } else { "Something is wrong, see above." });
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn data_dir(config: &Config) -> Finding {
    let shown = config.data_dir.display();
    if !config.data_dir.exists() {
        return Good(format!("data directory {shown}: not there yet; `tidegate serve` makes it"));
    }
    let probe = config.data_dir.join(".doctor");
    let written = std::fs::File::create(&probe).and_then(|mut file| file.write_all(b"x"));
    // Only the probe itself is of interest.
    drop(std::fs::remove_file(&probe));
    match written {
        Ok(()) => Good(format!("data directory {shown} can be written")),
        Err(error) => Bad {
            what: format!("data directory {shown} cannot be written: {error}"),
            mend: "give it to the user that runs the server, or free some space",
        },
    }
}

fn key(config: &Config) -> Finding {
    let path = config.data_dir.join(KEY_FILE);
    let shown = path.display();
    let Ok(metadata) = std::fs::metadata(&path) else {
        return Good(format!(
            "key of the secrets {shown}: not there yet; the first start makes it"
        ));
    };
    #[cfg(unix)]
    let open = std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o077 != 0;
    #[cfg(not(unix))]
    let open = metadata.permissions().readonly();
    if open {
        return Bad {
            what: format!("key of the secrets {shown} can be read by others"),
            mend: "chmod 600 it",
        };
    }
    Good(format!(
        "key of the secrets {shown} is the owner's alone; keep a copy beside your backups"
    ))
}

async fn database(config: &Config) -> Finding {
    let name = match Dialect::of(&config.database_url) {
        Ok(Dialect::Sqlite) => "SQLite",
        Ok(Dialect::Postgres) => "PostgreSQL",
        Err(error) => {
            return Bad { what: error.to_string(), mend: "set database.url" };
        }
    };
    if name == "SQLite" && !config.data_dir.exists() {
        return Good("database SQLite: not there yet; `tidegate serve` makes it".to_owned());
    }
    let look = async {
        let store = Store::open(&crate::app::location(config)).await?;
        let result = store.ping().await;
        let backlog = store.intake_backlog().await;
        store.close().await;
        result?;
        backlog
    };
    let look: Result<i64, StoreError> = look.await;
    match look {
        Ok(backlog) => {
            Good(format!("database {name} answers; {backlog} webhooks wait to be worked"))
        }
        Err(error) => Bad {
            what: format!("database {name} is not ready: {error}"),
            mend: "check database.url, then run `tidegate migrate`",
        },
    }
}

fn listener(config: &Config) -> Finding {
    let listen = config.listen;
    match std::net::TcpListener::bind(listen) {
        Ok(_) => Good(format!("{listen} is free")),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => match healthy(config) {
            true => Good(format!("a Tidegate listens on {listen}")),
            false => Bad {
                what: format!("{listen} is taken by another program"),
                mend: "stop it, or set listen to another port",
            },
        },
        Err(error) => Bad {
            what: format!("{listen} cannot be listened on: {error}"),
            mend: "set listen to an address of this machine",
        },
    }
}

fn healthy(config: &Config) -> bool {
    let ask = || {
        let mut stream =
            std::net::TcpStream::connect_timeout(&config.listen, Duration::from_secs(1))?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: doctor\r\nconnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.take(4_096).read_to_string(&mut answer)?;
        Ok::<_, std::io::Error>(answer)
    };
    ask().is_ok_and(|answer| answer.starts_with("HTTP/1.1 200") && answer.contains("\"status\""))
}

fn sandbox(config: &Config) -> Finding {
    match crate::plugin::try_engine(config.instances) {
        Ok(()) => Good(format!("the sandbox starts, with room for {} calls", config.instances)),
        Err(error) => Bad {
            what: format!("the sandbox does not start: {error}"),
            mend: "give the process more address space, or set plugin.instances lower",
        },
    }
}

fn clock() -> Finding {
    // 2026-01-01: older clocks make every signature stale.
    if crate::clock::now().0 > 1_767_225_600_000 {
        Good("the clock is plausible".to_owned())
    } else {
        Bad { what: "the clock is wrong".to_owned(), mend: "set it: signatures are judged by it" }
    }
}
