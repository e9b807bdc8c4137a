//! What an operator may set: one TOML file, the environment over it, flags over that.
//!
//! Every key is declared once, in [`KEYS`], with what it expects. Mistakes from all places are
//! reported at once, each with where it stands, what was expected and what was found.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// The file that is read when no other is named.
pub const DEFAULT_FILE: &str = "tidegate.toml";
/// Where listen addresses begin.
pub const DEFAULT_LISTEN: &str = "127.0.0.1:8080";

/// What a key expects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// Text that is not empty.
    Text,
    /// `address:port`.
    Address,
    /// An `http` or `https` URL without a path.
    Url,
    /// `sqlite:` or `postgres:`.
    DatabaseUrl,
    /// True or false.
    Switch,
    /// A whole number in this range.
    Number(i64, i64),
    /// A list of waits in milliseconds.
    Waits,
    /// One of these words.
    Word(&'static [&'static str]),
}

impl std::fmt::Display for Expect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text => f.write_str("a text"),
            Self::Address => f.write_str("an address and a port, such as 127.0.0.1:8080"),
            Self::Url => f.write_str("a URL such as https://desk.example.com"),
            Self::DatabaseUrl => f.write_str("a URL that begins with sqlite: or postgres:"),
            Self::Switch => f.write_str("true or false"),
            Self::Number(from, to) => write!(f, "a whole number from {from} to {to}"),
            Self::Waits => f.write_str("a list of milliseconds, such as [1000, 5000]"),
            Self::Word(words) => write!(f, "one of {}", words.join(", ")),
        }
    }
}

/// A key of the configuration.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Its name, with dots between tables.
    pub name: &'static str,
    /// What it expects.
    pub expect: Expect,
    /// Its value when nothing is set, in words.
    pub default: &'static str,
    /// What it is for.
    pub help: &'static str,
}

const fn key(name: &'static str, expect: Expect, default: &'static str, help: &'static str) -> Key {
    Key { name, expect, default, help }
}

/// What a database URL begins with.
const DATABASES: [&str; 3] = ["sqlite:", "postgres:", "postgresql:"];
/// Longest time that a key takes, in milliseconds: a year.
const YEAR_MS: i64 = 365 * 24 * 3_600_000;
const MIB: i64 = 1 << 20;

/// Every key.
pub const KEYS: &[Key] = &[
    key("listen", Expect::Address, DEFAULT_LISTEN, "where the server listens"),
    key(
        "public_url",
        Expect::Url,
        "http:// and the listen address",
        "the server as providers see it",
    ),
    key("data_dir", Expect::Text, "./data", "the server's own directory"),
    key(
        "database.url",
        Expect::DatabaseUrl,
        "a SQLite file in data_dir",
        "where everything is kept",
    ),
    key("database.connections", Expect::Number(1, 200), "8", "connections to the database"),
    key(
        "allow_loopback_providers",
        Expect::Switch,
        "false",
        "plugins may reach this machine over http; for tests and demos",
    ),
    key(
        "log.format",
        Expect::Word(&["auto", "text", "json"]),
        "auto",
        "auto is text on a terminal, else JSON",
    ),
    key("log.filter", Expect::Text, "info,sqlx=warn", "which log lines are written"),
    key(
        "intake.body_limit_bytes",
        Expect::Number(1_024, 1_024 * MIB),
        "8388608",
        "largest webhook",
    ),
    key(
        "intake.max_backlog",
        Expect::Number(1, 100_000_000),
        "50000",
        "webhooks that may wait before new ones get 503",
    ),
    key(
        "intake.retry_ms",
        Expect::Waits,
        "[1000, 5000, 30000, 120000, 600000]",
        "waits between tries of a webhook",
    ),
    key(
        "intake.keep_done_ms",
        Expect::Number(0, YEAR_MS),
        "259200000",
        "how long finished webhooks are kept",
    ),
    key(
        "intake.keep_dead_ms",
        Expect::Number(0, YEAR_MS),
        "2592000000",
        "how long dead letters are kept",
    ),
    key(
        "delivery.retry_ms",
        Expect::Waits,
        "[1000, 5000, 30000, 120000, 600000, 1800000, 7200000]",
        "waits between tries of a reply",
    ),
    key(
        "attachment.retry_ms",
        Expect::Waits,
        "[1000, 5000, 30000, 120000, 600000]",
        "waits between tries of a file",
    ),
    key(
        "lease_ms",
        Expect::Number(500, 3_600_000),
        "60000",
        "how long claimed work belongs to one host",
    ),
    key(
        "poll_ms",
        Expect::Number(10, 60_000),
        "250",
        "how often work is looked for without being woken",
    ),
    key(
        "shutdown_grace_ms",
        Expect::Number(0, 600_000),
        "25000",
        "how long work under way may take at the end",
    ),
    key(
        "work_at_once",
        Expect::Number(1, 1_000),
        "16",
        "pieces of work that each step does at the same time",
    ),
    key("plugin.max_bytes", Expect::Number(1_024, 256 * MIB), "33554432", "largest component"),
    key(
        "plugin.guest_threads",
        Expect::Number(1, 256),
        "the number of cores",
        "threads that plugins run on",
    ),
    key("plugin.instances", Expect::Number(1, 1_000), "64", "plugin calls at the same time"),
    key(
        "plugin.calls_per_connection",
        Expect::Number(1, 1_000),
        "8",
        "calls of one connection at the same time",
    ),
];

/// How logs are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, else JSON.
    Auto,
    /// Text.
    Text,
    /// JSON.
    Json,
}

/// The configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where the server listens.
    pub listen: SocketAddr,
    /// The server as providers see it; `None` is `http://` and the bound address.
    pub public_url: Option<String>,
    /// The server's own directory.
    pub data_dir: PathBuf,
    /// Where everything is kept.
    pub database_url: String,
    /// Connections to the database.
    pub connections: u32,
    /// Plugins may reach this machine.
    pub allow_loopback_providers: bool,
    /// How logs are written.
    pub log_format: LogFormat,
    /// Which log lines are written.
    pub log_filter: String,
    /// Largest webhook, in bytes.
    pub body_limit_bytes: usize,
    /// Webhooks that may wait.
    pub max_backlog: i64,
    /// Waits between tries of an intake, in milliseconds.
    pub intake_retry_ms: Vec<i64>,
    /// How long finished intakes are kept, in milliseconds.
    pub keep_done_ms: i64,
    /// How long dead letters are kept, in milliseconds.
    pub keep_dead_ms: i64,
    /// Waits between tries of a part, in milliseconds.
    pub delivery_retry_ms: Vec<i64>,
    /// Waits between tries of an attachment, in milliseconds.
    pub attachment_retry_ms: Vec<i64>,
    /// How long a claim lasts, in milliseconds.
    pub lease_ms: i64,
    /// How often steps look for work, in milliseconds.
    pub poll_ms: u64,
    /// How long work under way may take at the end, in milliseconds.
    pub shutdown_grace_ms: u64,
    /// Pieces of work that each step does at the same time.
    pub work_at_once: usize,
    /// Largest component, in bytes.
    pub plugin_max_bytes: usize,
    /// Threads that plugins run on.
    pub guest_threads: usize,
    /// Plugin calls at the same time.
    pub instances: u32,
    /// Calls of one connection at the same time.
    pub calls_per_connection: usize,
}

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Where it stands: a file and a key, a variable, a flag.
    pub place: String,
    /// What was expected and what was found.
    pub text: String,
}

/// Everything that is wrong with the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistakes(pub Vec<Mistake>);

impl std::fmt::Display for Mistakes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the configuration has {}", self.0.len())?;
        f.write_str(if self.0.len() == 1 { " mistake:" } else { " mistakes:" })?;
        for Mistake { place, text } in &self.0 {
            write!(f, "\n  {place}: {text}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Mistakes {}

/// What flags say: key and value.
pub type Flags = Vec<(&'static str, String)>;

struct Found {
    place: String,
    value: toml::Value,
}

impl Config {
    /// Reads file, environment and flags. Without `file`, [`DEFAULT_FILE`] is read when it is there.
    ///
    /// # Errors
    /// Every mistake of all of them.
    pub fn read(
        file: Option<&Path>,
        environment: impl Iterator<Item = (String, String)>,
        flags: &Flags,
    ) -> Result<Self, Mistakes> {
        let mut mistakes = Vec::new();
        let mut found: BTreeMap<&'static str, Found> = BTreeMap::new();
        let path = file.unwrap_or(Path::new(DEFAULT_FILE));
        if file.is_some() || path.exists() {
            read_file(path, &mut found, &mut mistakes);
        }
        for (variable, text) in environment {
            read_variable(&variable, &text, &mut found, &mut mistakes);
        }
        for (name, text) in flags {
            if let Some(key) = KEYS.iter().find(|key| key.name == *name) {
                let place = format!("--{}", flag_of(name));
                let value = from_text(key.expect, text);
                found.insert(key.name, Found { place, value });
            }
        }
        let mut take = Take { found, mistakes };
        let config = take.config();
        if take.mistakes.is_empty() { Ok(config) } else { Err(Mistakes(take.mistakes)) }
    }
}

/// The flag of a key that has one.
fn flag_of(name: &str) -> String {
    match name {
        "data_dir" => "data".to_owned(),
        "database.url" => "database".to_owned(),
        name => name.replace(['.', '_'], "-"),
    }
}

/// The variable of a key.
fn variable_of(name: &str) -> String {
    format!("TIDEGATE_{}", name.replace('.', "_").to_uppercase())
}

/// Variables that clients of the API use, not the server.
const OTHER_VARIABLES: &[&str] = &["TIDEGATE_URL", "TIDEGATE_TOKEN", "TIDEGATE_CONFIG"];
/// Variables that begin so belong to the project's own tools.
const OTHER_PREFIXES: &[&str] =
    &["TIDEGATE_TEST_", "TIDEGATE_BIN", "TIDEGATE_COMPONENTS", "TIDEGATE_BENCH_"];

fn read_file(path: &Path, found: &mut BTreeMap<&'static str, Found>, mistakes: &mut Vec<Mistake>) {
    let place = path.display().to_string();
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => {
            mistakes.push(Mistake { place, text: format!("cannot be read: {error}") });
            return;
        }
    };
    match text.parse::<toml::Table>() {
        Ok(table) => walk(&place, "", &table, found, mistakes),
        Err(error) => {
            let text = format!("is not TOML: {}", error.to_string().trim_end());
            mistakes.push(Mistake { place, text });
        }
    }
}

fn walk(
    file: &str,
    prefix: &str,
    table: &toml::Table,
    found: &mut BTreeMap<&'static str, Found>,
    mistakes: &mut Vec<Mistake>,
) {
    for (name, value) in table {
        let full = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        let place = format!("{file}: {full}");
        if let Some(key) = KEYS.iter().find(|key| key.name == full) {
            found.insert(key.name, Found { place, value: value.clone() });
        } else if let toml::Value::Table(inner) = value
            && KEYS.iter().any(|key| key.name.starts_with(&format!("{full}.")))
        {
            walk(file, &full, inner, found, mistakes);
        } else {
            mistakes.push(Mistake {
                place,
                text: unknown("key", &full, KEYS.iter().map(|k| k.name.to_owned())),
            });
        }
    }
}

fn read_variable(
    variable: &str,
    text: &str,
    found: &mut BTreeMap<&'static str, Found>,
    mistakes: &mut Vec<Mistake>,
) {
    if !variable.starts_with("TIDEGATE_")
        || OTHER_VARIABLES.contains(&variable)
        || OTHER_PREFIXES.iter().any(|prefix| variable.starts_with(prefix))
    {
        return;
    }
    match KEYS.iter().find(|key| variable_of(key.name) == variable) {
        Some(key) => {
            let value = from_text(key.expect, text);
            found.insert(key.name, Found { place: variable.to_owned(), value });
        }
        None => {
            let text = unknown("variable", variable, KEYS.iter().map(|key| variable_of(key.name)));
            mistakes.push(Mistake { place: variable.to_owned(), text });
        }
    }
}

fn unknown(what: &str, name: &str, known: impl Iterator<Item = String>) -> String {
    let nearest = known.map(|known| (distance(name, &known), known)).min();
    match nearest {
        Some((far, known)) if far <= 3 => format!("unknown {what}; did you mean {known}?"),
        _ => format!("unknown {what}"),
    }
}

/// How many letters have to change to make one word of the other.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut before = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let change = before + usize::from(x != *y);
            before = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(before + 1);
        }
    }
    row.last().copied().unwrap_or_default()
}

/// A text from the environment or a flag as the TOML value that its key expects; a text that is
/// none stays text and is a mistake later.
fn from_text(expect: Expect, text: &str) -> toml::Value {
    let string = toml::Value::String(text.to_owned());
    match expect {
        Expect::Switch => text.parse().map_or(string, toml::Value::Boolean),
        Expect::Number(..) => text.parse().map_or(string, toml::Value::Integer),
        Expect::Waits => {
            let numbers = text.trim_matches(['[', ']']).split(',').map(str::trim);
            let parsed: Result<Vec<i64>, _> =
                numbers.filter(|number| !number.is_empty()).map(str::parse).collect();
            parsed.map_or(string, |waits| {
                toml::Value::Array(waits.into_iter().map(toml::Value::Integer).collect())
            })
        }
        Expect::Text | Expect::Address | Expect::Url | Expect::DatabaseUrl | Expect::Word(_) => {
            string
        }
    }
}

/// Takes typed values out of what was found, and notes what is wrong.
struct Take {
    found: BTreeMap<&'static str, Found>,
    mistakes: Vec<Mistake>,
}

impl Take {
    fn config(&mut self) -> Config {
        let data_dir = PathBuf::from(self.text("data_dir").unwrap_or_else(|| "./data".to_owned()));
        let database_url = self.text("database.url").unwrap_or_else(|| sqlite_url(&data_dir));
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        Config {
            listen: self.address("listen"),
            public_url: self.text("public_url").map(|url| url.trim_end_matches('/').to_owned()),
            database_url,
            data_dir,
            connections: self.number("database.connections"),
            allow_loopback_providers: self.switch("allow_loopback_providers"),
            log_format: match self.text("log.format").as_deref() {
                Some("text") => LogFormat::Text,
                Some("json") => LogFormat::Json,
                _ => LogFormat::Auto,
            },
            log_filter: self.text("log.filter").unwrap_or_else(|| "info,sqlx=warn".to_owned()),
            body_limit_bytes: self.number("intake.body_limit_bytes"),
            max_backlog: self.number("intake.max_backlog"),
            intake_retry_ms: self.waits("intake.retry_ms"),
            keep_done_ms: self.number("intake.keep_done_ms"),
            keep_dead_ms: self.number("intake.keep_dead_ms"),
            delivery_retry_ms: self.waits("delivery.retry_ms"),
            attachment_retry_ms: self.waits("attachment.retry_ms"),
            lease_ms: self.number("lease_ms"),
            poll_ms: self.number("poll_ms"),
            shutdown_grace_ms: self.number("shutdown_grace_ms"),
            work_at_once: self.number("work_at_once"),
            plugin_max_bytes: self.number("plugin.max_bytes"),
            guest_threads: if self.found.contains_key("plugin.guest_threads") {
                self.number("plugin.guest_threads")
            } else {
                cores
            },
            instances: self.number("plugin.instances"),
            calls_per_connection: self.number("plugin.calls_per_connection"),
        }
    }

    /// The value of a key when it is what the key expects; a mistake otherwise.
    fn value(&mut self, name: &'static str) -> Option<toml::Value> {
        let expect = KEYS.iter().find(|key| key.name == name)?.expect;
        let Found { place, value } = self.found.get(name)?;
        if fits(expect, value) {
            return Some(value.clone());
        }
        let secret = matches!(expect, Expect::DatabaseUrl);
        let shown = if secret { "something else".to_owned() } else { shown(value) };
        let text = format!("expected {expect}, found {shown}");
        self.mistakes.push(Mistake { place: place.clone(), text });
        None
    }

    fn text(&mut self, name: &'static str) -> Option<String> {
        self.value(name).and_then(|value| value.as_str().map(str::to_owned))
    }

    fn switch(&mut self, name: &'static str) -> bool {
        self.value(name).and_then(|value| value.as_bool()).unwrap_or(false)
    }

    fn address(&mut self, name: &'static str) -> SocketAddr {
        let text = self.text(name).unwrap_or_else(|| DEFAULT_LISTEN.to_owned());
        text.parse().unwrap_or_else(|_| SocketAddr::from(([127, 0, 0, 1], 8080)))
    }

    fn number<T: TryFrom<i64> + Default>(&mut self, name: &'static str) -> T {
        let set = self.value(name).and_then(|value| value.as_integer());
        let value = set.or_else(|| default_of(name).parse().ok()).unwrap_or_default();
        T::try_from(value).unwrap_or_default()
    }

    fn waits(&mut self, name: &'static str) -> Vec<i64> {
        let value = self.value(name).unwrap_or_else(|| from_text(Expect::Waits, default_of(name)));
        let waits = value.as_array().into_iter().flatten();
        waits.filter_map(toml::Value::as_integer).collect()
    }
}

fn default_of(name: &str) -> &'static str {
    KEYS.iter().find(|key| key.name == name).map_or("", |key| key.default)
}

fn fits(expect: Expect, value: &toml::Value) -> bool {
    let text = value.as_str();
    match expect {
        Expect::Text => text.is_some_and(|text| !text.trim().is_empty()),
        Expect::Address => text.is_some_and(|text| text.parse::<SocketAddr>().is_ok()),
        Expect::Url => text.and_then(|text| url::Url::parse(text).ok()).is_some_and(|url| {
            matches!(url.scheme(), "http" | "https") && url.host().is_some() && url.path() == "/"
        }),
        Expect::DatabaseUrl => {
            text.is_some_and(|text| DATABASES.iter().any(|start| text.starts_with(start)))
        }
        Expect::Switch => value.is_bool(),
        Expect::Number(from, to) => {
            value.as_integer().is_some_and(|number| (from..=to).contains(&number))
        }
        Expect::Waits => value.as_array().is_some_and(|waits| {
            waits.len() <= 50
                && waits
                    .iter()
                    .all(|wait| wait.as_integer().is_some_and(|wait| (0..=YEAR_MS).contains(&wait)))
        }),
        Expect::Word(words) => text.is_some_and(|text| words.contains(&text)),
    }
}

fn shown(value: &toml::Value) -> String {
    let text = value.to_string();
    if text.chars().count() > 80 {
        format!("{}…", text.chars().take(80).collect::<String>())
    } else {
        text
    }
}

/// A SQLite file inside the data directory.
fn sqlite_url(data_dir: &Path) -> String {
    let file = data_dir.join("tidegate.db");
    let mut path = String::new();
    for byte in file.to_string_lossy().bytes() {
        match byte {
            b'%' | b'?' | b'#' | b' ' => path.push_str(&format!("%{byte:02X}")),
            byte if byte.is_ascii() => path.push(char::from(byte)),
            byte => path.push_str(&format!("%{byte:02X}")),
        }
    }
    format!("sqlite://{path}")
}

#[cfg(test)]
mod tests {
    use super::{Config, Mistakes};
    use std::io::Write;

    fn read(file: &str, environment: &[(&str, &str)]) -> Result<Config, Mistakes> {
        let mut temporary = tempfile::NamedTempFile::new().unwrap();
        temporary.write_all(file.as_bytes()).unwrap();
        let variables =
            environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let flags = vec![("poll_ms", "99".to_owned())];
        Config::read(Some(temporary.path()), variables, &flags)
    }

    #[test]
    fn flags_go_over_the_environment_and_that_over_the_file() {
        let file = "lease_ms = 1000\npoll_ms = 20\n[intake]\nmax_backlog = 7\n";
        let config =
            read(file, &[("TIDEGATE_LEASE_MS", "2000"), ("TIDEGATE_POLL_MS", "30")]).unwrap();
        assert_eq!((config.lease_ms, config.poll_ms, config.max_backlog), (2000, 99, 7));
        assert_eq!(config.intake_retry_ms, [1000, 5000, 30_000, 120_000, 600_000]);
    }

    #[test]
    fn every_mistake_is_told_at_once() {
        let file =
            "lsten = \"x\"\nlease_ms = \"soon\"\n[intake]\nmax_backlog = 0\nretry_ms = [1, -2]\n";
        let Mistakes(mistakes) =
            read(file, &[("TIDEGATE_LISTEN", "nowhere"), ("TIDEGATE_POLLMS", "1")]).unwrap_err();
        let told: Vec<String> =
            mistakes.iter().map(|mistake| format!("{}: {}", mistake.place, mistake.text)).collect();
        assert_eq!(mistakes.len(), 6, "{told:#?}");
        assert!(told.iter().any(|text| text.contains("did you mean listen?")), "{told:#?}");
        assert!(told.iter().any(|text| text.contains("TIDEGATE_POLL_MS?")), "{told:#?}");
        assert!(
            told.iter().any(|text| text.contains("from 500 to 3600000, found \"soon\"")),
            "{told:#?}"
        );
    }
}
