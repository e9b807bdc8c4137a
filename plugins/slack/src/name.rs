//! How Slack's things are named towards the host.
//!
//! | thing | name |
//! |---|---|
//! | message | `C123:1700000000.000100`: a `ts` is unique within its channel only |
//! | thread in a channel | the name of its first message |
//! | direct conversation | its channel, `D123`: one conversation, whatever is threaded in it |
//! | person | the user id, `U123` |
//!
//! A user id stands alone, without the team's: a connection is one workspace, and every method that
//! its token may call takes the bare id, also for people who come in over Slack Connect.

use serde::{Deserialize, Serialize};
use tidegate_sdk::Thread;

/// Where a reply goes: kept by the host as the context of a thread.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
    pub(crate) channel: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) thread_ts: Option<String>,
}

/// A message's external id.
pub(crate) fn message(channel: &str, ts: &str) -> String {
    let mut id = String::with_capacity(channel.len() + 1 + ts.len());
    id.push_str(channel);
    id.push(':');
    id.push_str(ts);
    id
}

/// The channel and the `ts` in a message's external id.
pub(crate) fn split(external_id: &str) -> Option<(&str, &str)> {
    external_id.split_once(':').filter(|(channel, ts)| !channel.is_empty() && !ts.is_empty())
}

/// A direct conversation with one person. Slack says so in `channel_type`; where an event has
/// none, in the first letter of the channel.
pub(crate) fn is_direct(channel: &str) -> bool {
    channel.starts_with('D')
}

/// The thread of a message, and where to answer it.
pub(crate) fn thread(channel: &str, ts: &str, thread_ts: Option<&str>, direct: bool) -> Thread {
    let parent = thread_ts.filter(|&parent| parent != ts);
    let root = thread_ts.unwrap_or(ts);
    let place = Place {
        channel: channel.to_owned(),
        // In a direct conversation people answer below, not in a thread, unless one was begun.
        thread_ts: if direct { thread_ts } else { Some(root) }.map(str::to_owned),
    };
    Thread {
        key: Some(if direct { channel.to_owned() } else { message(channel, root) }),
        in_reply_to: parent.map(|parent| message(channel, parent)),
        references: Vec::new(),
        context: serde_json::to_string(&place).ok(),
    }
}

/// Where an answer in this thread goes: its context says, or else its key.
pub(crate) fn place(thread: &Thread) -> Option<Place> {
    if let Some(place) = thread.context.as_deref().and_then(|json| serde_json::from_str(json).ok())
    {
        return Some(place);
    }
    let key = thread.key.as_deref()?;
    let (channel, thread_ts) = match key.split_once(':') {
        Some((channel, ts)) => (channel, Some(ts.to_owned())),
        None => (key, None),
    };
    Some(Place { channel: channel.to_owned(), thread_ts })
}

/// Milliseconds since 1970 of a `ts`: seconds, a point, microseconds.
pub(crate) fn unix_ms(ts: &str) -> Option<u64> {
    let (seconds, fraction) = ts.split_once('.').unwrap_or((ts, "0"));
    let millis: u64 = fraction.get(..3).unwrap_or("0").parse().ok()?;
    seconds.parse::<u64>().ok()?.checked_mul(1000)?.checked_add(millis)
}

#[cfg(test)]
mod tests {
    use super::{place, split, thread, unix_ms};

    #[test]
    fn a_timestamp_keeps_its_milliseconds() {
        assert_eq!(unix_ms("1700000000.123456"), Some(1_700_000_000_123));
        assert_eq!(unix_ms("1700000000"), Some(1_700_000_000_000));
        assert_eq!(unix_ms("soon"), None);
        assert_eq!(unix_ms("18446744073709551615.000000"), None);
    }

    #[test]
    fn a_message_in_a_channel_opens_a_thread_and_its_answer_goes_there() {
        let thread = thread("C1", "5.000001", None, false);
        assert_eq!(thread.key.as_deref(), Some("C1:5.000001"));
        assert_eq!(thread.in_reply_to, None);
        let place = place(&thread).unwrap();
        assert_eq!((place.channel.as_str(), place.thread_ts.as_deref()), ("C1", Some("5.000001")));
    }

    #[test]
    fn a_direct_conversation_is_one_thread_answered_below() {
        let thread = thread("D1", "5.000001", None, true);
        assert_eq!(thread.key.as_deref(), Some("D1"));
        assert_eq!(place(&thread).unwrap().thread_ts, None);
    }

    #[test]
    fn a_thread_without_context_is_found_by_its_key() {
        let place = place(&tidegate_sdk::Thread::of("C1:5.000001")).unwrap();
        assert_eq!((place.channel.as_str(), place.thread_ts.as_deref()), ("C1", Some("5.000001")));
        assert_eq!(split("C1:"), None);
    }
}
