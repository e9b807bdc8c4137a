//! The command line.

mod account;
mod api;
mod doctor;
mod plugin;
mod token;

use crate::app::{location, make_data_dir};
use crate::clock;
use crate::config::{Config, Flags};
use crate::domain::id::IntakeId;
use crate::store::{Store, StoreError, dialect};
use anyhow::{Context, bail};
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

/// A conversation server whose every channel and provider is a sandboxed WebAssembly component.
///
/// Without any configuration it keeps everything in ./data and listens on 127.0.0.1:8080.
#[derive(Debug, Parser)]
#[command(name = "tidegate", version, max_term_width = 100, after_help = EXAMPLES)]
pub struct Arguments {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
A desk in three steps:
  tidegate account create \"Acme\"        an account; prints its administrator's token once
  tidegate serve                        the server
  tidegate api POST /plugins --data @slack.wasm --content-type application/wasm

Every key of the configuration can stand in a TOML file (--config), in the environment
(TIDEGATE_LEASE_MS for lease_ms, TIDEGATE_INTAKE_MAX_BACKLOG for intake.max_backlog) or,
for the most used ones, in the flags above. Flags win over the environment, that over the file.";

#[derive(Debug, Args)]
struct Global {
    /// The configuration, a TOML file [default: ./tidegate.toml, when it is there]
    #[arg(long, value_name = "FILE", env = "TIDEGATE_CONFIG", global = true)]
    config: Option<PathBuf>,
    /// The server's own directory [default: ./data]
    #[arg(long, value_name = "DIR", global = true)]
    data: Option<String>,
    /// Where everything is kept [default: a SQLite file in the data directory]
    #[arg(long, value_name = "URL", global = true)]
    database: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve webhooks and the API until stopped
    Serve(Serve),
    /// Bring the database up to date
    Migrate,
    /// Accounts
    #[command(subcommand)]
    Account(account::Account),
    /// API tokens
    #[command(subcommand)]
    Token(token::Token),
    /// Components, before they are installed
    #[command(subcommand)]
    Plugin(plugin::Plugin),
    /// Work a webhook again, such as one among the dead letters
    Replay {
        /// The intake's id
        intake: i64,
    },
    /// Look for what is wrong with this installation, and say what to do
    Doctor,
    /// Call the API of a running server
    Api(api::Api),
}

#[derive(Debug, Args)]
struct Serve {
    /// Where to listen; port 0 takes a free one [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// The server as providers see it [default: http:// and the listen address]
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,
    /// Let plugins reach this machine over plain http: for tests and demos only
    #[arg(long)]
    allow_loopback_providers: bool,
}

/// Runs a command.
///
/// # Errors
/// It did not do what it was asked for, and why.
pub fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let Arguments { global, command } = arguments;
    if let Command::Api(api) = command {
        return runtime()?.block_on(api::run(api));
    }
    let mut flags: Flags = Vec::new();
    flags.extend(global.data.map(|value| ("data_dir", value)));
    flags.extend(global.database.map(|value| ("database.url", value)));
    if let Command::Serve(serve) = &command {
        flags.extend(serve.listen.clone().map(|value| ("listen", value)));
        flags.extend(serve.public_url.clone().map(|value| ("public_url", value)));
        if serve.allow_loopback_providers {
            flags.push(("allow_loopback_providers", "true".to_owned()));
        }
    }
    let variables = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let config = match Config::read(global.config.as_deref(), variables, &flags) {
        Ok(config) => config,
        Err(mistakes) => {
            eprintln!("error: {mistakes}");
            return Ok(ExitCode::from(2));
        }
    };
    match command {
        Command::Serve(_) => {
            crate::telemetry::start(config.log_format, &config.log_filter);
            runtime()?.block_on(crate::app::serve(config))?;
        }
        Command::Migrate => runtime()?.block_on(migrate(&config))?,
        Command::Account(command) => runtime()?.block_on(account::run(&config, command))?,
        Command::Token(command) => runtime()?.block_on(token::run(&config, command))?,
        Command::Plugin(command) => return runtime()?.block_on(plugin::run(&config, command)),
        Command::Replay { intake } => runtime()?.block_on(replay(&config, IntakeId(intake)))?,
        Command::Doctor => return runtime()?.block_on(doctor::run(&config)),
        Command::Api(_) => {}
    }
    Ok(ExitCode::SUCCESS)
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("the threads of the server could not be started")
}

/// Opens the store, bringing the database up to date before.
async fn open_migrated(config: &Config) -> anyhow::Result<Store> {
    make_data_dir(config)?;
    let location = location(config);
    dialect::migrate(&location).await?;
    Ok(Store::open(&location).await?)
}

/// Opens the store of an installation that is there.
async fn open(config: &Config) -> anyhow::Result<Store> {
    let store = Store::open(&location(config)).await.context("the database cannot be opened")?;
    if let Err(error) = store.ping().await {
        bail!(
            "the database is not ready ({error}); `tidegate migrate` or `tidegate serve` makes it so"
        );
    }
    Ok(store)
}

async fn migrate(config: &Config) -> anyhow::Result<()> {
    make_data_dir(config)?;
    match dialect::migrate(&location(config)).await? {
        0 => println!("The database is up to date."),
        1 => println!("The database is up to date: one migration was applied."),
        count => println!("The database is up to date: {count} migrations were applied."),
    }
    Ok(())
}

async fn replay(config: &Config, intake: IntakeId) -> anyhow::Result<()> {
    let store = open(config).await?;
    let found = store
        .write::<_, StoreError, _>(move |tx| {
            Box::pin(async move { tx.replay_intake(None, intake, clock::now()).await })
        })
        .await?;
    store.close().await;
    if !found {
        bail!("there is no intake {intake} that could be worked again");
    }
    println!("Intake {intake} will be worked again.");
    Ok(())
}
