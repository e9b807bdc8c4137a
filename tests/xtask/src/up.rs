//! `cargo xtask up`: a server with an account, a Slack beside it, and the lines that show them.

use crate::{check, demo, tools};
use anyhow::{Context, bail};
use reqwest::Method;
use serde_json::{Value, json};
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tidegate_tests::client::Client;
use tidegate_tests::desk::{Server, connect_slack, install};
use tidegate_tests::places;
use tidegate_tests::slack::Slack;
use tokio::signal::unix::{SignalKind, signal};

const LISTEN: &str = "127.0.0.1:8080";
const ADMINISTRATOR: &str = "ada@harbour.example";
/// The demo's own note in the data directory: which connection the provider delivers to.
const NOTE: &str = "demo.json";
/// The component as it was uploaded last, so that a changed one is uploaded again.
const UPLOADED: &str = "demo-plugin.wasm";

/// Build everything and run the main job; the README's first command.
///
/// Starts a server on 127.0.0.1:8080 with its things in ./data, and a small local Slack beside it.
/// The first start creates an account, loads the Slack plugin and connects it; later starts take
/// seconds. Then it prints lines to paste into another terminal: a customer writes, a ticket
/// appears, you reply, the reply arrives. No outside account is needed. Ctrl-C stops both.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Play the printed lines against a fresh directory and free ports, show what they print, and
    /// exit with 0 when everything happened
    #[arg(long)]
    check: bool,
    /// Where the server keeps its things
    #[arg(long, value_name = "FOLDER", default_value = "data")]
    data: PathBuf,
    /// Where the server listens
    #[arg(long, value_name = "ADDRESS", default_value = LISTEN)]
    listen: SocketAddr,
    /// Where the small Slack listens
    #[arg(long, value_name = "ADDRESS", default_value = demo::PROVIDER)]
    provider: SocketAddr,
}

/// Where one demo lives.
pub(crate) struct Place {
    /// The server's data directory.
    pub(crate) data: PathBuf,
    /// The server's address.
    pub(crate) listen: SocketAddr,
    /// The small Slack's address.
    pub(crate) provider: SocketAddr,
}

/// A running demo.
pub(crate) struct Demo {
    /// The server.
    pub(crate) server: Server,
    /// The small Slack; it serves until this is dropped.
    pub(crate) slack: Slack,
    /// The administrator's token, on the first start only.
    pub(crate) token: Option<String>,
    /// The number that the next ticket gets.
    pub(crate) next_ticket: i64,
}

/// One printed line.
pub(crate) struct Line {
    /// What it shows.
    pub(crate) about: &'static str,
    /// What is pasted.
    pub(crate) command: String,
    /// Whether its output shows that it worked.
    pub(crate) shows: fn(&str) -> bool,
}

/// Builds, then runs the demo until it is told to stop, or checks it.
pub(crate) async fn run(options: &Options) -> anyhow::Result<()> {
    tools::prepare()?;
    if !options.check {
        // Told before the build rather than after it.
        must_be_free("--listen", options.listen)?;
        must_be_free("--provider", options.provider)?;
    }
    println!("Building the Slack plugin and the server");
    tools::build_components(&["tidegate-plugin-slack"])?;
    tools::build_host()?;
    if options.check {
        return check::run().await;
    }
    let data = options.data.clone();
    let place = Place { data, listen: options.listen, provider: options.provider };
    let demo = place.open().await?;
    place.show(&demo)?;
    until_told().await?;
    println!("\nStopping");
    demo.server.stop().await;
    Ok(())
}

impl Place {
    /// Starts the server and the small Slack; on the first start everything is set up.
    pub(crate) async fn open(&self) -> anyhow::Result<Demo> {
        let note = self.data.join(NOTE);
        let known = std::fs::read(&note).ok();
        if known.is_none() && self.data.join("tidegate.db").exists() {
            bail!(
                "{} holds a server that is not a finished demo: choose another folder with \
                 --data, or remove it.",
                self.data.display()
            );
        }
        std::fs::create_dir_all(&self.data)
            .with_context(|| format!("creating {}", self.data.display()))?;
        let slack = Slack::start_at(self.provider).await?;
        let component = std::fs::read(places::component(places::SLACK)?)?;
        let (server, connection, token, next_ticket) = match known {
            None => {
                let created = self.create_account()?;
                let token =
                    created["token"].as_str().context("the account came without a token")?;
                let server = self.serve().await?;
                let admin = Client::new(server.url(), token);
                install(&admin, places::SLACK).await?;
                let (connection, _) = connect_slack(&admin, &slack.api_url()).await?;
                (server, connection, Some(token.to_owned()), 1)
            }
            Some(bytes) => {
                let known: Value = serde_json::from_slice(&bytes)
                    .with_context(|| format!("{} is damaged", note.display()))?;
                let connection = known["connection"].as_i64().context("the demo's connection")?;
                let server = self.serve().await?;
                let changed =
                    std::fs::read(self.data.join(UPLOADED)).ok().as_ref() != Some(&component);
                let next_ticket = self.go_on(&server, connection, &slack, changed).await?;
                (server, connection, None, next_ticket)
            }
        };
        let webhook = format!("{}/api/webhooks/integrations/slack/{connection}", server.url());
        slack.point_at(&webhook);
        std::fs::write(self.data.join(UPLOADED), component)?;
        std::fs::write(&note, json!({"connection": connection}).to_string())?;
        Ok(Demo { server, slack, token, next_ticket })
    }

    /// The lines to paste, in their order.
    pub(crate) fn lines(&self, ticket: i64) -> anyhow::Result<Vec<Line>> {
        let tidegate = shown(&places::binary()?);
        let provider = if self.provider.to_string() == demo::PROVIDER {
            String::new()
        } else {
            format!(" --provider {}", self.provider)
        };
        Ok(vec![
            Line {
                about: "A customer writes: the small Slack signs a webhook and delivers it",
                command: format!("cargo xtask demo say{provider} \"The printer is on fire\""),
                shows: |output| output.lines().any(|line| line == "HTTP 200"),
            },
            Line {
                about: "The ticket, with its card",
                command: format!("{tidegate} api /tickets/{ticket}"),
                shows: |output| {
                    let ticket = json_of(output);
                    let some = |name: &str| {
                        ticket["card"][name].as_array().is_some_and(|list| !list.is_empty())
                    };
                    some("badges") || some("chips")
                },
            },
            Line {
                about: "Its messages",
                command: format!("{tidegate} api /tickets/{ticket}/messages"),
                shows: |output| {
                    json_of(output)["data"][0]["body"]["text"] == "The printer is on fire"
                },
            },
            Line {
                about: "You reply",
                command: format!(
                    "{tidegate} api POST /tickets/{ticket}/messages --data '{{\"body\":\"On my way\"}}'"
                ),
                shows: |output| json_of(output)["direction"] == "outgoing",
            },
            Line {
                about: "The reply arrived at the provider",
                command: format!("cargo xtask demo seen{provider}"),
                shows: |output| output.contains("On my way"),
            },
        ])
    }

    /// The lines that name the server and the token.
    pub(crate) fn exports(&self, token: Option<&str>) -> Vec<String> {
        let mut exports = Vec::new();
        if self.listen.to_string() != LISTEN {
            exports.push(format!("export TIDEGATE_URL=http://{}", self.listen));
        }
        exports.extend(token.map(|token| format!("export TIDEGATE_TOKEN={token}")));
        exports
    }

    fn show(&self, demo: &Demo) -> anyhow::Result<()> {
        let tidegate = shown(&places::binary()?);
        println!("\nTidegate listens on {}; its log is {}.", demo.server.url(), shown(&self.log()));
        println!("Paste these lines into another terminal, in this folder.\n");
        match &demo.token {
            Some(_) => println!("# The administrator's token, shown this once"),
            None => {
                println!("# Your token was shown at the first start. Another one is made by");
                println!(
                    "#   {tidegate} --data {} token create --account 1 --email {ADMINISTRATOR}",
                    shown(&self.data)
                );
            }
        }
        let token = demo.token.as_deref().unwrap_or("tg_…");
        for export in self.exports(Some(token)) {
            println!("{export}");
        }
        for line in self.lines(demo.next_ticket)? {
            println!("\n# {}\n{}", line.about, line.command);
        }
        println!(
            "\nThe same over HTTP: curl -H \"Authorization: Bearer $TIDEGATE_TOKEN\" {}/api/v1/tickets/{}",
            demo.server.url(),
            demo.next_ticket
        );
        println!("Ctrl-C stops the server and the small Slack.");
        Ok(())
    }

    fn log(&self) -> PathBuf {
        self.data.join("server.log")
    }

    fn tidegate(&self) -> anyhow::Result<Command> {
        let mut command = Command::new(places::binary()?);
        command.arg("--data").arg(&self.data);
        Ok(command)
    }

    async fn serve(&self) -> anyhow::Result<Server> {
        must_be_free("--listen", self.listen)?;
        let mut command = self.tidegate()?;
        command.args(["serve", "--allow-loopback-providers", "--listen"]);
        // In a group of its own, so that Ctrl-C reaches this program alone, which then drains it.
        command.arg(self.listen.to_string()).process_group(0);
        Server::start(command, &self.log()).await
    }

    fn create_account(&self) -> anyhow::Result<Value> {
        let administrator = ["--admin-name", "Ada", "--admin-email", ADMINISTRATOR];
        let mut arguments = vec!["account", "create", "Harbour", "--json"];
        arguments.extend(administrator);
        self.json_from(&arguments)
    }

    /// What a later start has to do, with a token that is revoked at once: the answer is the number
    /// of the next ticket.
    async fn go_on(
        &self,
        server: &Server,
        connection: i64,
        slack: &Slack,
        changed: bool,
    ) -> anyhow::Result<i64> {
        let mut arguments = vec!["token", "create", "--account", "1", "--email", ADMINISTRATOR];
        arguments.extend(["--operator", "--label", "cargo xtask up", "--json"]);
        let created = self.json_from(&arguments)?;
        let token = created["token"].as_str().context("no token was created")?;
        let admin = Client::new(server.url(), token);
        let who = admin.attempt(Method::GET, "/api/v1/whoami", None).await?.accepted()?;
        let outcome = Self::go_on_as(&admin, connection, slack, changed).await;
        let mut revoke = self.tidegate()?;
        revoke.args(["token", "revoke", &who["token"]["id"].to_string()]);
        revoke.stdin(Stdio::null()).stdout(Stdio::null());
        let revoked = revoke.status()?.success();
        anyhow::ensure!(revoked, "the token that this start used could not be revoked");
        outcome
    }

    async fn go_on_as(
        admin: &Client,
        connection: i64,
        slack: &Slack,
        changed: bool,
    ) -> anyhow::Result<i64> {
        if changed {
            install(admin, places::SLACK).await?;
        }
        let path = format!("/api/v1/connections/{connection}");
        let known = admin.attempt(Method::GET, &path, None).await?.accepted()?;
        if known["settings"]["api_url"] != slack.api_url() {
            let moved = json!({"settings": {"api_url": slack.api_url()}, "grants": "requested"});
            admin.attempt(Method::PATCH, &path, Some(&moved)).await?.accepted()?;
        }
        let tickets = admin.list_all("/api/v1/tickets").await;
        let last = tickets.iter().filter_map(|ticket| ticket["number"].as_i64()).max();
        Ok(last.unwrap_or(0) + 1)
    }

    fn json_from(&self, arguments: &[&str]) -> anyhow::Result<Value> {
        let mut command = self.tidegate()?;
        let output = command.args(arguments).stdin(Stdio::null()).output()?;
        let what = format!("tidegate {}", arguments.join(" "));
        if !output.status.success() {
            bail!("`{what}` failed: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        serde_json::from_slice(&output.stdout).with_context(|| format!("`{what}` printed no JSON"))
    }
}

/// The JSON that a command printed, null when it did not.
fn json_of(output: &str) -> Value {
    serde_json::from_str(output).unwrap_or_default()
}

/// A path as short as it can be written here.
fn shown(path: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    let path = path.strip_prefix(&here).unwrap_or(path).display().to_string();
    if path.contains(char::is_whitespace) { format!("'{path}'") } else { path }
}

fn must_be_free(option: &str, address: SocketAddr) -> anyhow::Result<()> {
    match TcpListener::bind(address) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AddrInUse => bail!(
            "Port {} is taken: stop what uses it, or choose another with {option} {}:PORT.",
            address.port(),
            address.ip()
        ),
        Err(error) => bail!("Nothing can listen on {address}: {error}."),
    }
}

/// Waits for Ctrl-C, or for what a closing terminal or an init sends.
async fn until_told() -> anyhow::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hang_up.recv() => {}
    }
    Ok(())
}
