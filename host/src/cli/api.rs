//! `tidegate api`: a client of the API, so that no other tool is needed.

use anyhow::{Context, bail};
use clap::Args;
use std::io::Read;
use std::process::ExitCode;

/// Calls the API of a running server and prints its JSON.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Api {
    /// [METHOD] PATH: the method is GET, or POST with --data; the path may leave out /api/v1
    #[arg(required = true, num_args = 1..=2, value_name = "METHOD] [PATH")]
    request: Vec<String>,
    /// The body: JSON, @FILE, or - for standard input
    #[arg(long, short, value_name = "JSON")]
    data: Option<String>,
    /// The media type of the body
    #[arg(long, value_name = "TYPE", default_value = "application/json")]
    content_type: String,
    /// The server
    #[arg(long, value_name = "URL", env = "TIDEGATE_URL", default_value = "http://127.0.0.1:8080")]
    url: String,
    /// The token
    #[arg(long, value_name = "TOKEN", env = "TIDEGATE_TOKEN", hide_env_values = true)]
    token: Option<String>,
}

const EXAMPLES: &str = "\
Examples:
  tidegate api /whoami
  tidegate api '/tickets?category=open'
  tidegate api POST /tickets/1/messages --data '{\"body\": \"On my way\"}'
  tidegate api PATCH /tickets/1 --data '{\"status\": \"Closed\"}'";

pub(super) async fn run(api: Api) -> anyhow::Result<ExitCode> {
    let (method, path) = match api.request.as_slice() {
        [path] if api.data.is_some() => ("POST".to_owned(), path.clone()),
        [path] => ("GET".to_owned(), path.clone()),
        [method, path] => (method.to_uppercase(), path.clone()),
        _ => bail!("expected [METHOD] PATH"),
    };
    if !path.starts_with('/') {
        bail!("expected a path that begins with /, found {path:?}");
    }
    let base = api.url.trim_end_matches('/');
    let known = ["/api/", "/healthz", "/readyz"].iter().any(|start| path.starts_with(start));
    let url = if known { format!("{base}{path}") } else { format!("{base}/api/v1{path}") };
    let method = reqwest::Method::from_bytes(method.as_bytes())
        .with_context(|| format!("{method:?} is not a method"))?;

    crate::outgoing::install_crypto();
    let client = reqwest::Client::builder().no_proxy().build()?;
    let mut request = client.request(method, &url);
    if let Some(token) = &api.token {
        request = request.bearer_auth(token);
    }
    if let Some(data) = api.data {
        request = request.header("content-type", &api.content_type).body(body(data)?);
    }
    let response = request.send().await.with_context(|| format!("no server answers at {base}"))?;
    let status = response.status();
    let text = response.text().await.context("the answer broke off")?;
    let json: Option<serde_json::Value> = serde_json::from_str(&text).ok();
    match &json {
        Some(json) if status.is_success() => println!("{json:#}"),
        None if status.is_success() => println!("{text}"),
        _ => {
            let said = |name: &str| json.as_ref()?.get(name)?.as_str().map(str::to_owned);
            let title = said("title").unwrap_or_else(|| "the server refused".to_owned());
            eprintln!("error: {} {title}", status.as_u16());
            if let Some(detail) = said("detail") {
                eprintln!("  {detail}");
            }
            let errors = json.as_ref().and_then(|json| json.get("errors")?.as_array().cloned());
            for error in errors.unwrap_or_default() {
                let word = |name: &str| error.get(name).and_then(|v| v.as_str()).unwrap_or("");
                eprintln!("  {}: {}", word("pointer"), word("detail"));
            }
            if status.as_u16() == 401 && api.token.is_none() {
                eprintln!("  set TIDEGATE_TOKEN, or give --token");
            }
        }
    }
    Ok(if status.is_success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn body(data: String) -> anyhow::Result<Vec<u8>> {
    if data == "-" {
        let mut bytes = Vec::new();
        std::io::stdin().read_to_end(&mut bytes).context("standard input cannot be read")?;
        return Ok(bytes);
    }
    match data.strip_prefix('@') {
        Some(file) => std::fs::read(file).with_context(|| format!("{file} cannot be read")),
        None => Ok(data.into_bytes()),
    }
}
