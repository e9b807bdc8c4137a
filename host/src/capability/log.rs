//! `log`: lines for people, capped and escaped. Needs no grant.

use super::HostLimits;
use super::context::CallContext;
use std::fmt::Write;

/// How serious the guest finds it. Never the level of the host's own log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Finest.
    Trace,
    /// For the plugin's author.
    Debug,
    /// Normal.
    Info,
    /// Unexpected.
    Warn,
    /// Something failed.
    Error,
}

/// One line of a plugin. Control characters are escaped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// As the guest names it.
    pub level: Level,
    /// The message.
    pub message: String,
    /// Names and values.
    pub fields: Vec<(String, String)>,
}

/// The most fields of one line.
const FIELDS: usize = 16;

/// The lines of one call, within limits.
#[derive(Debug)]
pub struct Journal {
    lines: Vec<LogLine>,
    lines_left: usize,
    bytes_left: usize,
    line_bytes: usize,
    dropped: u64,
}

impl Level {
    /// The level's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

impl Journal {
    /// An empty journal with the limits of a call.
    pub fn new(limits: &HostLimits) -> Self {
        Self {
            lines: Vec::new(),
            lines_left: limits.log_lines,
            bytes_left: limits.log_bytes,
            line_bytes: limits.log_line_bytes,
            dropped: 0,
        }
    }

    /// Adds a line; behind the limits it is only counted.
    pub fn add(&mut self, level: Level, message: &str, fields: &[(String, String)]) {
        let budget = self.bytes_left.min(self.line_bytes);
        if self.lines_left == 0 || budget == 0 {
            self.dropped += 1;
            return;
        }
        let message = escape(message, budget);
        let mut used = message.len().max(1);
        let mut kept = Vec::new();
        for (name, value) in fields.iter().take(FIELDS) {
            let name = escape(name, budget.saturating_sub(used));
            used += name.len();
            let value = escape(value, budget.saturating_sub(used));
            used += value.len();
            if name.is_empty() {
                break;
            }
            kept.push((name, value));
        }
        self.lines_left -= 1;
        self.bytes_left = self.bytes_left.saturating_sub(used);
        self.lines.push(LogLine { level, message, fields: kept });
    }

    /// The lines, with one more that says how many were dropped.
    pub fn finish(mut self) -> Vec<LogLine> {
        if self.dropped > 0 {
            let message = format!("{} more lines were dropped", self.dropped);
            self.lines.push(LogLine { level: Level::Warn, message, fields: Vec::new() });
        }
        self.lines
    }
}

/// Keeps a line of the running call, and shows it to whoever debugs the host.
pub fn log(context: &mut CallContext, level: Level, message: &str, fields: &[(String, String)]) {
    let before = context.journal.lines.len();
    context.journal.add(level, message, fields);
    let Some(line) = context.journal.lines.get(before) else { return };
    tracing::debug!(
        plugin = &*context.plugin,
        export = context.export.name(),
        level = ?line.level,
        fields = ?line.fields,
        "{}",
        line.message
    );
}

/// The text with control and direction-changing characters written out, at most `limit` bytes long.
pub fn escape(text: &str, limit: usize) -> String {
    let mut escaped = String::with_capacity(text.len().min(limit));
    for c in text.chars() {
        let before = escaped.len();
        if is_deceiving(c) {
            // Writing to a String cannot fail.
            let _ = write!(escaped, "\\u{{{:x}}}", u32::from(c));
        } else {
            escaped.push(c);
        }
        if escaped.len() > limit {
            escaped.truncate(before);
            break;
        }
    }
    escaped
}

/// Characters that change how the text around them is shown.
fn is_deceiving(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn journal(lines: usize, bytes: usize, line: usize) -> Journal {
        let limits = HostLimits {
            log_lines: lines,
            log_bytes: bytes,
            log_line_bytes: line,
            ..HostLimits::default()
        };
        Journal::new(&limits)
    }

    #[test]
    fn a_forged_line_stays_one_line() {
        assert_eq!(
            escape("a\n2026 ERROR\x1b[31m\u{202e}b", 100),
            "a\\u{a}2026 ERROR\\u{1b}[31m\\u{202e}b"
        );
    }

    #[test]
    fn text_is_cut_at_a_character() {
        assert_eq!(escape("aéé", 4), "aé");
        assert_eq!(escape("aéé", 5), "aéé");
        assert_eq!(escape("a\n", 3), "a");
    }

    #[test]
    fn a_flood_is_counted_and_dropped() {
        let mut journal = journal(2, 100, 10);
        for _ in 0..5 {
            journal.add(Level::Info, "0123456789abc", &[]);
        }
        let lines = journal.finish();
        assert_eq!(lines.len(), 3);
        assert_eq!(lines[0].message, "0123456789");
        assert_eq!(lines[2].message, "3 more lines were dropped");
    }

    #[test]
    fn bytes_are_counted_over_all_lines_and_fields() {
        let mut journal = journal(100, 20, 16);
        journal.add(Level::Info, "0123", &[("name".into(), "value is longer".into())]);
        journal.add(Level::Info, "0123456789", &[]);
        journal.add(Level::Info, "x", &[]);
        let lines = journal.finish();
        assert_eq!(lines[0].fields, [("name".into(), "value is".into())]);
        assert_eq!(lines[1].message, "0123");
        assert_eq!(lines[2].message, "1 more lines were dropped");
    }
}
