//! Who people are. An event names a person by id only; the name comes from `users.info` and is
//! kept in kv for a day.
//!
//! A message is worth more than a name: a lookup that fails in whatever way leaves the name out, is
//! not tried again for five minutes (a rate limit must not turn every message into one more call),
//! and never fails the message.

use serde::{Deserialize, Serialize};
use tidegate_sdk::{Party, kv, log};

use crate::api;

const KNOWN_MS: u64 = 24 * 60 * 60 * 1000;
const UNKNOWN_MS: u64 = 5 * 60 * 1000;
/// The message waits for the name, so not for long.
const TIMEOUT_MS: u32 = 3000;

/// What is remembered of a person. `{}` is somebody of whom nothing could be learnt.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Person {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    email: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    avatar: Option<String>,
}

/// A user as Slack describes one.
#[derive(Debug, Deserialize)]
pub(crate) struct User {
    id: Option<String>,
    name: Option<String>,
    real_name: Option<String>,
    profile: Option<Profile>,
}

#[derive(Debug, Deserialize)]
struct Profile {
    display_name: Option<String>,
    real_name: Option<String>,
    email: Option<String>,
    image_72: Option<String>,
}

/// The sender of a message: from memory, or from Slack.
pub(crate) fn party(id: &str) -> Party {
    match remembered(id) {
        Some(person) => person.party(id),
        None => learn(id).party(id),
    }
}

/// Somebody's name, if it is in memory.
pub(crate) fn remembered_name(id: &str) -> Option<String> {
    remembered(id)?.name
}

/// Slack says that a person has changed. People who never wrote are nobody's contacts: they stay
/// unknown.
pub(crate) fn changed(user: User) -> Option<Party> {
    let id = user.id.clone()?;
    remembered(&id)?;
    let person = Person::from(user);
    remember(&id, &person, KNOWN_MS);
    Some(person.party(&id))
}

fn learn(id: &str) -> Person {
    #[derive(Deserialize)]
    struct Found {
        user: User,
    }
    match api::read::<Found>("users.info", ("user", id), TIMEOUT_MS) {
        Ok(found) => {
            let person = Person::from(found.user);
            remember(id, &person, KNOWN_MS);
            person
        }
        Err(failure) => {
            let reason = format!("{failure:?}");
            log::warn("users.info failed; the name is left out", &[("reason", &reason)]);
            let nobody = Person::default();
            remember(id, &nobody, UNKNOWN_MS);
            nobody
        }
    }
}

fn remembered(id: &str) -> Option<Person> {
    kv::get(&key(id)).ok().flatten()
}

/// A memory that is full or not granted costs calls, nothing else.
fn remember(id: &str, person: &Person, ttl_ms: u64) {
    if kv::set_for(&key(id), person, ttl_ms).is_err() {
        log::warn("a name could not be kept in kv", &[]);
    }
}

fn key(id: &str) -> String {
    format!("user:{id}")
}

impl Person {
    fn party(self, id: &str) -> Party {
        Party { name: self.name, email: self.email, avatar_url: self.avatar, ..Party::new(id) }
    }
}

impl From<User> for Person {
    /// People choose a display name; where they did not, it is an empty string.
    fn from(user: User) -> Self {
        let (mut display_name, mut real_name) = (None, user.real_name);
        let (mut email, mut avatar) = (None, None);
        if let Some(profile) = user.profile {
            display_name = profile.display_name;
            real_name = real_name.or(profile.real_name);
            email = profile.email;
            avatar = profile.image_72;
        }
        let name = [display_name, real_name, user.name]
            .into_iter()
            .flatten()
            .find(|name| !name.trim().is_empty());
        Self { name, email, avatar }
    }
}
