//! Slack for Tidegate: the channel (how Slack conversations work) and the integration (how Slack is
//! called and calls) in one component.
//!
//! A request of Slack's Events API is verified ([`integration`]) and read ([`events`]); what it
//! says becomes commands ([`channel`]); a reply becomes parts ([`channel`]) and calls of Slack's Web
//! API ([`integration`], [`api`]). The README beside this folder holds Slack's documents and quirks.

mod api;
mod channel;
mod emoji;
mod events;
mod files;
mod integration;
mod mrkdwn;
mod name;
mod users;

/// The plugin.
#[derive(Debug)]
pub struct Slack;

tidegate_sdk::export!(Slack: channel, integration; publisher = "tidegate", name = "slack");
