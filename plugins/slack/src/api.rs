//! Calls of Slack's Web API, and what their answers mean.
//!
//! Slack answers 200 with `"ok": false` and a code for what is wrong with a call. What the codes and
//! statuses mean for the host:
//!
//! | answer | failure |
//! |---|---|
//! | 429, `ratelimited` | retry, after `Retry-After` |
//! | `invalid_auth`, `token_revoked`, `missing_scope` and their like, 401, 403 | unauthorized |
//! | `service_unavailable`, `request_timeout` | retry: Slack says that it did not take the call on |
//! | `internal_error`, `fatal_error` | Slack says that some of it may have been done: ambiguous, or retry where the call is repeatable |
//! | 5xx, a 200 that cannot be read | the same |
//! | any other code or status | permanent |

use serde::Deserialize;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tidegate_sdk::http::{self, Request, Response};
use tidegate_sdk::{Failure, settings};

/// The Web API when the setting `api_url` says nothing else.
pub(crate) const API_URL: &str = "https://slack.com/api";

/// The secret with the bot's token.
pub(crate) const BOT_TOKEN: &str = "bot_token";

/// May a call be carried out twice?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Twice {
    /// Harmless: what it asks for is a state (edited, deleted, reacted, read).
    Harmless,
    /// A second message would be seen.
    Seen,
}

/// A reading call: GET with one query parameter.
pub(crate) fn read<T: DeserializeOwned>(
    method: &str,
    query: (&str, &str),
    timeout_ms: u32,
) -> Result<T, Failure> {
    let request = http::get(url(method)?).query(query.0, query.1).timeout_ms(timeout_ms);
    call(request, Twice::Harmless, &[])
}

/// A writing call: POST with a JSON body. The codes in `fine` are successes: somebody was faster.
pub(crate) fn write<T: DeserializeOwned>(
    method: &str,
    body: &impl Serialize,
    twice: Twice,
    fine: &[&str],
) -> Result<T, Failure> {
    let request = http::post(url(method)?).json(body);
    call(
        match twice {
            Twice::Harmless => request.repeatable(),
            Twice::Seen => request,
        },
        twice,
        fine,
    )
}

/// What the status of an answer means, before its body is looked at. Also for files.
pub(crate) fn status(response: &Response, twice: Twice) -> Result<(), Failure> {
    match response.status() {
        200..=299 => Ok(()),
        429 => Err(wait(response)),
        401 | 403 => Err(Failure::unauthorized(format!(
            "Slack refuses the bot token (status {})",
            response.status()
        ))),
        status @ 500..=599 => Err(unclear(twice, format!("Slack answered with status {status}"))),
        status => Err(Failure::permanent(format!("Slack answered with status {status}"))),
    }
}

#[derive(Deserialize)]
struct Outcome {
    ok: bool,
    error: Option<String>,
    needed: Option<String>,
}

fn url(method: &str) -> Result<String, Failure> {
    let base: Option<String> = settings::get("api_url")?;
    let base = base.as_deref().unwrap_or(API_URL).trim_end_matches('/');
    let mut url = String::with_capacity(base.len() + 1 + method.len());
    url.push_str(base);
    url.push('/');
    url.push_str(method);
    Ok(url)
}

fn call<T: DeserializeOwned>(request: Request, twice: Twice, fine: &[&str]) -> Result<T, Failure> {
    let response = request.bearer_secret(BOT_TOKEN).send()?;
    status(&response, twice)?;
    let unreadable = || unclear(twice, "Slack's answer cannot be read".to_owned());
    let outcome: Outcome = response.json().ok_or_else(unreadable)?;
    if !outcome.ok {
        let code = outcome.error.as_deref().unwrap_or("no code");
        if !fine.contains(&code) {
            return Err(refusal(code, outcome.needed.as_deref(), &response, twice));
        }
    }
    response.json().ok_or_else(unreadable)
}

fn wait(response: &Response) -> Failure {
    let reason = "Slack asks to wait: too many calls";
    match response.retry_after_ms() {
        Some(after_ms) => Failure::retry_after(reason, after_ms),
        None => Failure::retry(reason),
    }
}

fn unclear(twice: Twice, reason: String) -> Failure {
    match twice {
        Twice::Harmless => Failure::retry(reason),
        Twice::Seen => Failure::ambiguous(reason),
    }
}

fn refusal(code: &str, needed: Option<&str>, response: &Response, twice: Twice) -> Failure {
    let meaning = match code {
        "ratelimited" | "rate_limited" => return wait(response),
        "service_unavailable" | "request_timeout" => {
            return Failure::retry(format!("Slack is not available ({code})"));
        }
        "internal_error" | "fatal_error" => {
            return unclear(twice, format!("Slack failed on its side ({code})"));
        }
        "missing_scope" => {
            let scope = needed.unwrap_or("another");
            return Failure::unauthorized(format!(
                "the bot token lacks the scope {scope} (missing_scope)"
            ));
        }
        "account_inactive"
        | "ekm_access_denied"
        | "enterprise_is_restricted"
        | "invalid_auth"
        | "no_permission"
        | "not_allowed_token_type"
        | "not_authed"
        | "org_login_required"
        | "team_access_not_granted"
        | "token_expired"
        | "token_revoked" => {
            return Failure::unauthorized(format!("Slack refuses the bot token ({code})"));
        }
        "cannot_dm_bot" => "Slack lets no app write to another bot",
        "cant_delete_message" | "cant_update_message" => {
            "only the bot's own messages can be changed"
        }
        "channel_not_found" => "Slack knows no such conversation, or the bot is not in it",
        "edit_window_closed" => "the workspace allows no edits after so long",
        "invalid_name" => "Slack has no such emoji",
        "is_archived" => "the Slack channel is archived",
        "message_not_found" => "the message is not there any more",
        "msg_too_long" => "the text is longer than Slack takes",
        "no_text" => "Slack takes no message without text",
        "not_in_channel" => "the bot is not in the Slack channel: invite it",
        "restricted_action" => "the workspace lets the bot not write here",
        "user_disabled" | "user_not_found" => "Slack knows no such person",
        _ => "Slack refused the call",
    };
    Failure::permanent(format!("{meaning} ({code})"))
}
