//! Limits on what grows. Each is enforced where the value enters and tested at the limit and one
//! beyond.

/// Longest subject, in characters. Longer ones from providers are cut, from people refused.
pub const SUBJECT_CHARS: usize = 500;
/// Longest text of a message, in characters.
pub const BODY_CHARS: usize = 150_000;
/// Longest name of a contact, user, inbox, connection or token label, in characters.
pub const NAME_CHARS: usize = 200;
/// Longest preview, in characters.
pub const PREVIEW_CHARS: usize = 160;
/// Most tags on a ticket.
pub const TAGS: usize = 50;
/// Longest tag, in characters.
pub const TAG_CHARS: usize = 60;
/// Most fields with a value on a ticket.
pub const FIELDS: usize = 100;
/// Most reactions kept on a message.
pub const REACTIONS: usize = 200;
/// Most commands of one channel call.
pub const COMMANDS_PER_CALL: usize = 100;

/// The text without what exceeds `max` characters.
pub fn cut(text: &str, max: usize) -> String {
    text.chars().take(max).collect()
}
