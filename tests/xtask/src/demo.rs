//! `cargo xtask demo`: the people and the provider of the demo.

use anyhow::{Context, bail};
use reqwest::Method;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tidegate_tests::client::Client;
use tidegate_tests::slack::CHANNEL;

/// Where the demo's provider listens unless told otherwise.
pub(crate) const PROVIDER: &str = "127.0.0.1:8181";
/// How long a task waits for the server at most.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Play the other side: say something as a customer, see what arrived at the provider.
///
/// Needs a running `cargo xtask up`.
#[derive(clap::Subcommand)]
pub(crate) enum Task {
    /// Say something as a customer: the provider signs a webhook and delivers it
    Say {
        /// What is said
        text: String,
        /// Say it as an answer in the thread of this message (`demo seen` shows the ids)
        #[arg(long, value_name = "ID")]
        thread: Option<String>,
        #[command(flatten)]
        provider: Provider,
    },
    /// Show what stands in the provider's channel
    Seen {
        #[command(flatten)]
        provider: Provider,
    },
}

/// Which provider is meant.
#[derive(clap::Args)]
pub(crate) struct Provider {
    /// Where the demo's provider listens
    #[arg(long, value_name = "ADDRESS", default_value = PROVIDER)]
    provider: String,
}

/// Plays.
pub(crate) async fn run(task: &Task) -> anyhow::Result<()> {
    match task {
        Task::Say { text, thread, provider } => say(text, thread.as_deref(), provider).await,
        Task::Seen { provider } => seen(provider).await,
    }
}

async fn say(text: &str, thread: Option<&str>, provider: &Provider) -> anyhow::Result<()> {
    let mut words = json!({"text": text});
    if let Some(thread) = thread {
        words["thread_ts"] = thread.into();
    }
    let answer = ask(provider, Method::POST, "/say", Some(&words)).await?;
    let sent = &answer["sent"];
    println!("POST {}", text_of(&sent["url"]));
    for (name, value) in sent["headers"].as_object().into_iter().flatten() {
        println!("{name}: {}", text_of(value));
    }
    println!("\n{}\n", sent["body"]);
    if let Some(error) = answer["error"].as_str() {
        bail!("The webhook got no answer: {error}");
    }
    let status = &answer["received"]["status"];
    println!("HTTP {status}\n\n{}", text_of(&answer["received"]["body"]));
    if status != 200 {
        bail!("The webhook was not accepted.");
    }
    settle("intakes").await;
    Ok(())
}

async fn seen(provider: &Provider) -> anyhow::Result<()> {
    settle("deliveries").await;
    let shown = ask(provider, Method::GET, &format!("/channels/{CHANNEL}"), None).await?;
    let messages = shown["messages"].as_array().context("the provider showed no messages")?;
    println!("#{}", text_of(&shown["channel"]));
    if messages.is_empty() {
        println!("  nothing was said yet");
    }
    for root in messages.iter().filter(|message| !is_answer(message)) {
        println!("  {}", line(root));
        for answer in messages {
            if is_answer(answer) && answer["thread_ts"] == root["ts"] {
                println!("    ↳ {}", line(answer));
            }
        }
    }
    Ok(())
}

/// Waits a little until the server has nothing left to do, where the environment says who asks: the
/// line that is pasted next then finds what this one began.
async fn settle(work: &str) {
    let Ok(token) = std::env::var("TIDEGATE_TOKEN") else { return };
    let server = std::env::var("TIDEGATE_URL").unwrap_or_else(|_| "http://127.0.0.1:8080".into());
    let client = Client::new(&server, &token);
    let started = Instant::now();
    while started.elapsed() < LONGEST_WAIT {
        let mut idle = true;
        for state in ["pending", "working"] {
            let path = format!("/api/v1/{work}?state={state}&limit=1");
            match client.attempt(Method::GET, &path, None).await {
                Ok(answer) if answer.is_success() => idle &= answer.json["data"] == json!([]),
                // Whoever may not look cannot wait either.
                Ok(_) | Err(_) => return,
            }
        }
        if idle {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn is_answer(message: &Value) -> bool {
    message["thread_ts"].is_string() && message["thread_ts"] != message["ts"]
}

fn line(message: &Value) -> String {
    let mut line = format!(
        "{}  {}: {}",
        text_of(&message["ts"]),
        text_of(&message["from"]),
        text_of(&message["text"])
    );
    for (mark, shown) in [("edited", " (edited)"), ("deleted", " (deleted)")] {
        if message[mark] == true {
            line.push_str(shown);
        }
    }
    for reaction in message["reactions"].as_array().into_iter().flatten() {
        line.push_str(&format!("  :{}:", text_of(reaction)));
    }
    line
}

fn text_of(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

async fn ask(
    provider: &Provider,
    method: Method,
    path: &str,
    body: Option<&Value>,
) -> anyhow::Result<Value> {
    let address = &provider.provider;
    let client = Client::anonymous(&format!("http://{address}"));
    let Ok(answer) = client.attempt(method, path, body).await else {
        bail!("The demo's provider does not answer on {address}: start it with `cargo xtask up`.");
    };
    if answer.json.is_null() {
        bail!("The demo's provider answered {}: {}", answer.status, answer.text);
    }
    Ok(answer.json)
}
