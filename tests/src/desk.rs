//! The real binary as a process, and a desk that is ready to work.
//!
//! A [`Home`] is where a server keeps its things; a [`Server`] is one run of the binary on it. A
//! [`Desk`] is both with an account and its administrator; a [`SlackDesk`] has a Slack besides,
//! connected and bound to an inbox. Children are ended when their owner is dropped, by their pid.

use crate::client::{Answer, Client};
use crate::slack::{BOT_TOKEN, CHANNEL, Envelope, PERSON, SIGNING_SECRET, Slack};
use crate::{PATIENCE, eventually, places, postgres};
use anyhow::{Context, bail};
use reqwest::Method;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::sync::oneshot;

/// How long a server may take until it listens.
const START_LIMIT: Duration = Duration::from_secs(60);
const READY: &str = "tidegate listens on ";

/// Which database a server works on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Database {
    /// The embedded one, in the data directory.
    Sqlite,
    /// A fresh database in the test cluster.
    Postgres,
}

/// Where a server keeps its things: a temporary directory and a database. It outlives the runs of
/// the server, and goes when it is dropped.
pub struct Home {
    folder: TempDir,
    database_url: Option<String>,
}

impl Home {
    /// An empty home.
    pub fn new(database: Database) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("tidegate-test-").tempdir()?;
        std::fs::create_dir(folder.path().join("data"))?;
        let database_url = match database {
            Database::Sqlite => None,
            Database::Postgres => Some(postgres::fresh_database()?),
        };
        Self::with(folder, database_url)
    }

    /// An empty home on an empty PostgreSQL database of the caller's.
    pub fn on_database(url: &str) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("tidegate-test-").tempdir()?;
        std::fs::create_dir(folder.path().join("data"))?;
        Self::with(folder, Some(url.to_owned()))
    }

    fn with(folder: TempDir, database_url: Option<String>) -> anyhow::Result<Self> {
        let home = Self { folder, database_url };
        home.configure("")?;
        Ok(home)
    }

    /// The data directory.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// A folder beside the data directory, for whatever a test keeps.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What the servers of this home wrote to their logs.
    pub fn log(&self) -> PathBuf {
        self.folder.path().join("server.log")
    }

    /// The database as sqlx and the server name it.
    pub fn database_url(&self) -> String {
        match &self.database_url {
            Some(url) => url.clone(),
            None => format!("sqlite://{}", self.data().join("tidegate.db").display()),
        }
    }

    /// Writes the configuration file that every later command reads.
    pub fn configure(&self, toml: &str) -> anyhow::Result<()> {
        std::fs::write(self.config_file(), toml).context("writing the configuration")
    }

    /// The binary with this home's configuration, before its subcommand.
    pub fn command(&self) -> anyhow::Result<Command> {
        let mut command = Command::new(places::binary()?);
        self.add_options(&mut command);
        Ok(command)
    }

    /// Runs a subcommand to its end.
    pub fn run(&self, arguments: &[&str]) -> anyhow::Result<Output> {
        let mut command = self.command()?;
        command.args(arguments).stdin(Stdio::null());
        command.output().with_context(|| format!("running tidegate {}", arguments.join(" ")))
    }

    /// Runs a subcommand that must succeed and prints JSON.
    pub fn run_json(&self, arguments: &[&str]) -> anyhow::Result<Value> {
        let output = self.run(arguments)?;
        let said = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() {
            bail!("tidegate {} failed ({}): {said}", arguments.join(" "), output.status);
        }
        serde_json::from_slice(&output.stdout)
            .with_context(|| format!("tidegate {} printed no JSON", arguments.join(" ")))
    }

    /// Creates an account; the answer has `account`, `user` and `token`.
    pub fn create_account(&self, name: &str) -> anyhow::Result<Value> {
        self.run_json(&["account", "create", name, "--json"])
    }

    /// Starts a server here.
    pub async fn serve(&self) -> anyhow::Result<Server> {
        self.serve_under(&[]).await
    }

    /// Starts a second server on the same database, as on another machine: with a data directory
    /// of its own that begins as a copy of this one's.
    pub async fn serve_beside(&self) -> anyhow::Result<Server> {
        let data = self.folder.path().join("beside");
        let copied = Command::new("cp").arg("-R").args([self.data(), data.clone()]).status()?;
        anyhow::ensure!(copied.success(), "copying the data directory");
        let mut command = Command::new(places::binary()?);
        self.add_options_with(&mut command, &data);
        command.args(["serve", "--listen", "127.0.0.1:0", "--allow-loopback-providers"]);
        Server::start(command, &self.folder.path().join("beside.log")).await
    }

    /// Starts a server as the last arguments of another command, which must become the server
    /// (`exec`), so that signals reach it.
    pub async fn serve_under(&self, wrapper: &[&str]) -> anyhow::Result<Server> {
        let binary = places::binary()?;
        let mut command = match wrapper.split_first() {
            None => Command::new(binary),
            Some((program, arguments)) => {
                let mut command = Command::new(program);
                command.args(arguments).arg(binary);
                command
            }
        };
        self.add_options(&mut command);
        command.args(["serve", "--listen", "127.0.0.1:0", "--allow-loopback-providers"]);
        Server::start(command, &self.log()).await
    }

    fn config_file(&self) -> PathBuf {
        self.folder.path().join("tidegate.toml")
    }

    fn add_options(&self, command: &mut Command) {
        self.add_options_with(command, &self.data());
    }

    fn add_options_with(&self, command: &mut Command, data: &Path) {
        command.arg("--config").arg(self.config_file()).arg("--data").arg(data);
        if let Some(url) = &self.database_url {
            command.args(["--database", url]);
        }
        command.current_dir(self.folder.path());
    }
}

/// One run of the binary.
pub struct Server {
    child: Child,
    url: String,
    log: PathBuf,
}

impl Server {
    /// Starts a `serve` command and waits until it says where it listens. Its log is appended to a
    /// file.
    pub async fn start(mut command: Command, log: &Path) -> anyhow::Result<Self> {
        let file = std::fs::File::options().create(true).append(true).open(log)?;
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(file);
        let child = command.spawn().with_context(|| format!("starting {command:?}"))?;
        let mut server = Self { child, url: String::new(), log: log.to_path_buf() };
        let stdout = server.child.stdout.take().context("the server's output")?;
        let (found, ready) = oneshot::channel();
        std::thread::spawn(move || {
            let mut found = Some(found);
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if let Some(url) = line.strip_prefix(READY)
                    && let Some(found) = found.take()
                {
                    // Whoever waited may have given up.
                    drop(found.send(url.trim().to_owned()));
                }
            }
        });
        match tokio::time::timeout(START_LIMIT, ready).await {
            Ok(Ok(url)) => server.url = url,
            Ok(Err(_closed)) => {
                let status = server.exited().await;
                bail!("the server ended ({status}) before it listened:\n{}", server.last_words());
            }
            Err(_elapsed) => {
                let limit = START_LIMIT.as_secs();
                bail!("the server did not listen within {limit} s:\n{}", server.last_words());
            }
        }
        Ok(server)
    }

    /// Where it listens, such as `http://127.0.0.1:40123`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to drain and waits for its end.
    pub async fn stop(mut self) -> ExitStatus {
        self.signal("TERM");
        self.exited().await
    }

    /// Kills it, as a crash would.
    pub fn kill(mut self) {
        self.end();
    }

    /// Stops its threads wherever they are.
    pub fn freeze(&self) {
        self.signal("STOP");
    }

    /// Lets a frozen server go on.
    pub fn thaw(&self) {
        self.signal("CONT");
    }

    /// Waits for its end.
    pub async fn exited(&mut self) -> ExitStatus {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("a child can be waited for") {
                return status;
            }
            let waited = started.elapsed();
            assert!(waited < PATIENCE, "the server did not end:\n{}", self.last_words());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Sends a signal by its name, such as "TERM".
    pub fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.child.id());
        let status = Command::new("sh").args(["-c", &kill]).status().expect("a shell");
        assert!(status.success(), "{kill} failed");
    }

    fn last_words(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }

    fn end(&mut self) {
        // Both fail only when it has ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let ended = matches!(self.child.try_wait(), Ok(Some(_)));
        if std::thread::panicking() {
            let log = self.last_words();
            let end = if ended { "had ended" } else { "was running" };
            drop(writeln!(std::io::stderr(), "--- the server {end}; its log ends:\n{log}\n---"));
        }
        if !ended {
            self.end();
        }
    }
}

/// A server with an account and its administrator, who is also its operator.
pub struct Desk {
    /// The administrator at the HTTP interface.
    pub admin: Client,
    /// The account's id.
    pub account: i64,
    /// The administrator's token.
    pub token: String,
    server: Option<Server>,
    // Last, so that the directory goes after the server.
    home: Home,
}

impl Desk {
    /// A desk with the default configuration.
    pub async fn start(database: Database) -> Self {
        Self::configured(database, "").await
    }

    /// A desk with a configuration file.
    pub async fn configured(database: Database, toml: &str) -> Self {
        match Self::try_start(database, toml).await {
            Ok(desk) => desk,
            Err(error) => panic!("{error:#}"),
        }
    }

    /// [`Self::configured`], with an error for what did not start.
    pub async fn try_start(database: Database, toml: &str) -> anyhow::Result<Self> {
        Self::open(Home::new(database)?, toml).await
    }

    /// A desk on an empty PostgreSQL database of the caller's.
    pub async fn on_database(url: &str, toml: &str) -> Self {
        let home = Home::on_database(url).expect("a home");
        match Self::open(home, toml).await {
            Ok(desk) => desk,
            Err(error) => panic!("{error:#}"),
        }
    }

    async fn open(home: Home, toml: &str) -> anyhow::Result<Self> {
        home.configure(toml)?;
        let created = home.create_account("Harbour")?;
        let token = created["token"].as_str().context("account create printed no token")?;
        let account = created["account"]["id"].as_i64().context("no account id was printed")?;
        let server = home.serve().await?;
        let admin = Client::new(server.url(), token);
        Ok(Self { admin, account, token: token.to_owned(), server: Some(server), home })
    }

    /// Where its things are.
    pub fn home(&self) -> &Home {
        &self.home
    }

    /// The running server.
    pub fn server(&self) -> &Server {
        self.server.as_ref().expect("the server runs")
    }

    /// Where the server listens.
    pub fn url(&self) -> &str {
        self.server().url()
    }

    /// Somebody without a token.
    pub fn anybody(&self) -> Client {
        Client::anonymous(self.url())
    }

    /// Somebody with a token of their own.
    pub fn holder_of(&self, token: &str) -> Client {
        Client::new(self.url(), token)
    }

    /// Another account on the same host: its administrator and its id.
    pub fn other_account(&self) -> (Client, i64) {
        let created = self.home.create_account("Elsewhere").expect("a second account");
        let token = created["token"].as_str().expect("its token");
        (self.holder_of(token), created["account"]["id"].as_i64().expect("its id"))
    }

    /// Drains the server and waits for its end.
    pub async fn stop(&mut self) -> ExitStatus {
        self.server.take().expect("the server runs").stop().await
    }

    /// Kills the server, as a crash would.
    pub fn kill(&mut self) {
        self.server.take().expect("the server runs").kill();
    }

    /// Starts the server again on the same data; it listens elsewhere.
    pub async fn start_again(&mut self) {
        self.start_under(&[]).await;
    }

    /// [`Self::start_again`] as the last arguments of another command.
    pub async fn start_under(&mut self, wrapper: &[&str]) {
        assert!(self.server.is_none(), "stop the server before it is started again");
        match self.home.serve_under(wrapper).await {
            Ok(server) => {
                self.admin = self.admin.at(server.url());
                self.server = Some(server);
            }
            Err(error) => panic!("{error:#}"),
        }
    }

    /// Uploads a built component; it must be accepted.
    pub async fn install(&self, component: &str) -> Value {
        match install(&self.admin, component).await {
            Ok(plugin) => plugin,
            Err(error) => panic!("{error:#}"),
        }
    }

    /// Waits for the ticket that holds a message with this text, and returns both.
    pub async fn ticket_and_message(&self, text: &str) -> (Value, Value) {
        eventually(&format!("a message `{text}`"), || self.find_message(text)).await
    }

    /// The ticket that holds a message with this text, and the message.
    pub async fn find_message(&self, text: &str) -> Option<(Value, Value)> {
        for ticket in self.admin.list_all("/api/v1/tickets").await {
            for message in self.messages(&ticket).await {
                if message["body"]["text"] == text {
                    return Some((ticket, message));
                }
            }
        }
        None
    }

    /// All messages of a ticket.
    pub async fn messages(&self, ticket: &Value) -> Vec<Value> {
        let path = format!("/api/v1/tickets/{}/messages", ticket["number"]);
        self.admin.list_all(&path).await
    }

    /// Waits until a message of a ticket is in one of these states, and returns it.
    pub async fn message_in(&self, ticket: &Value, message: &Value, states: &[&str]) -> Value {
        let what = format!("message {} to be {}", message["id"], states.join(" or "));
        eventually(&what, || async {
            let messages = self.messages(ticket).await;
            let found = messages.into_iter().find(|candidate| candidate["id"] == message["id"])?;
            let state = found["state"].as_str().unwrap_or_default();
            states.contains(&state).then_some(found)
        })
        .await
    }

    /// Waits until no intake is waiting or being worked.
    pub async fn all_worked(&self) {
        eventually("all intakes to be worked", || async {
            for state in ["pending", "working"] {
                let path = format!("/api/v1/intakes?state={state}&limit=1");
                if !self.admin.list(&path).await.is_empty() {
                    return None;
                }
            }
            Some(())
        })
        .await;
    }
}

/// A desk with a Slack: the plugin loaded, a connection configured, an inbox bound to it.
pub struct SlackDesk {
    /// The server and its administrator.
    pub desk: Desk,
    /// The provider.
    pub slack: Slack,
    /// The connection's id.
    pub connection: i64,
    /// The inbox's id.
    pub inbox: i64,
}

impl std::ops::Deref for SlackDesk {
    type Target = Desk;

    fn deref(&self) -> &Desk {
        &self.desk
    }
}

/// A Slack desk with the default configuration.
pub async fn slack_desk(database: Database) -> SlackDesk {
    slack_desk_configured(database, "").await
}

/// A Slack desk with a configuration file.
pub async fn slack_desk_configured(database: Database, toml: &str) -> SlackDesk {
    let desk = Desk::configured(database, toml).await;
    match SlackDesk::open(desk).await {
        Ok(desk) => desk,
        Err(error) => panic!("{error:#}"),
    }
}

impl SlackDesk {
    /// Loads the plugin into a desk and connects a Slack of its own.
    pub async fn open(desk: Desk) -> anyhow::Result<Self> {
        let slack = Slack::start().await?;
        install(&desk.admin, places::SLACK).await?;
        let (connection, inbox) = connect_slack(&desk.admin, &slack.api_url()).await?;
        let opened = Self { desk, slack, connection, inbox };
        opened.point_slack_here();
        Ok(opened)
    }

    /// The path of the connection's webhook.
    pub fn webhook_path(&self) -> String {
        format!("/api/webhooks/integrations/slack/{}", self.connection)
    }

    /// A person writes in the support channel; the webhook must be accepted.
    pub async fn hear(&self, text: &str) -> Envelope {
        let envelope = self.slack.message(CHANNEL, PERSON, text);
        self.hear_event(&envelope).await;
        envelope
    }

    /// Delivers an event, which must be accepted.
    pub async fn hear_event(&self, envelope: &Envelope) -> Answer {
        self.slack.deliver(envelope).await.expect_status(200)
    }

    /// A person writes, and the ticket that comes of it, with the message.
    pub async fn hear_ticket(&self, text: &str) -> (Value, Value) {
        self.hear(text).await;
        self.ticket_and_message(text).await
    }

    /// The administrator answers on a ticket.
    pub async fn reply(&self, ticket: &Value, text: &str) -> Value {
        let path = format!("/api/v1/tickets/{}/messages", ticket["number"]);
        self.admin.post(&path, json!({"body": text})).await
    }

    /// Starts the server again on the same data and points Slack at it.
    pub async fn start_again(&mut self) {
        self.start_under(&[]).await;
    }

    /// [`Self::start_again`] as the last arguments of another command.
    pub async fn start_under(&mut self, wrapper: &[&str]) {
        self.desk.start_under(wrapper).await;
        self.point_slack_here();
    }

    /// Makes Slack deliver to the server as it listens now.
    pub fn point_slack_here(&self) {
        self.slack.point_at(&format!("{}{}", self.desk.url(), self.webhook_path()));
    }
}

/// Uploads a built component by its file name; it must be accepted.
pub async fn install(operator: &Client, component: &str) -> anyhow::Result<Value> {
    let path = places::component(component)?;
    let bytes = std::fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
    operator.upload(bytes).await?.accepted()
}

/// Creates a Slack connection with all that it needs and an inbox bound to it: their ids.
pub async fn connect_slack(admin: &Client, api_url: &str) -> anyhow::Result<(i64, i64)> {
    let connection = json!({
        "integration": "slack", "label": "Harbour", "grants": "requested",
        "settings": {"api_url": api_url},
        "secrets": {"signing_secret": SIGNING_SECRET, "bot_token": BOT_TOKEN},
    });
    let path = "/api/v1/connections";
    let connection = admin.attempt(Method::POST, path, Some(&connection)).await?.accepted()?;
    if connection["configured"] != true {
        bail!("the Slack connection is not configured; missing: {}", connection["missing"]);
    }
    let id = connection["id"].as_i64().context("a connection without an id")?;
    let inbox = json!({"channel": "slack", "connection_id": id, "name": "Support"});
    let inbox = admin.attempt(Method::POST, "/api/v1/inboxes", Some(&inbox)).await?.accepted()?;
    Ok((id, inbox["id"].as_i64().context("an inbox without an id")?))
}
