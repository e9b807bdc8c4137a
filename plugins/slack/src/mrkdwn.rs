//! Slack's text format: what arrives is made plain, what leaves is escaped.
//!
//! `&`, `<` and `>` arrive as entities; between angle brackets stand links and mentions:
//! `<https://x|label>`, `<@U1>`, `<#C1|name>`, `<!here>`, `<!subteam^S1|@group>`,
//! `<!date^…|fallback>`. Stars and underscores stay as the person typed them.

use std::borrow::Cow;

/// Plain text of a message. `name_of` knows people by their user id.
pub(crate) fn plain(text: &str, name_of: impl Fn(&str) -> Option<String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['<', '&']) {
        let (before, special) = rest.split_at(at);
        out.push_str(before);
        if let Some((character, after)) = entity(special) {
            out.push(character);
            rest = after;
        } else if let Some(reference) = special.strip_prefix('<')
            && let Some((reference, after)) = reference.split_once('>')
        {
            spell(reference, &name_of, &mut out);
            rest = after;
        } else {
            let (literal, after) = special.split_at(1);
            out.push_str(literal);
            rest = after;
        }
    }
    out.push_str(rest);
    out
}

/// The three characters that Slack wants escaped.
pub(crate) fn escaped(text: &str) -> Cow<'_, str> {
    if !text.contains(['&', '<', '>']) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            other => out.push(other),
        }
    }
    Cow::Owned(out)
}

fn entity(text: &str) -> Option<(char, &str)> {
    [("&amp;", '&'), ("&lt;", '<'), ("&gt;", '>')]
        .into_iter()
        .find_map(|(name, character)| Some((character, text.strip_prefix(name)?)))
}

/// What stands between angle brackets, for a reader.
fn spell(reference: &str, name_of: impl Fn(&str) -> Option<String>, out: &mut String) {
    let (target, label) = match reference.split_once('|') {
        Some((target, label)) => (target, Some(label).filter(|label| !label.is_empty())),
        None => (reference, None),
    };
    if let Some(user) = target.strip_prefix('@') {
        out.push('@');
        match label {
            Some(label) => unescape(label, out),
            None => out.push_str(name_of(user).as_deref().unwrap_or(user)),
        }
    } else if let Some(channel) = target.strip_prefix('#') {
        out.push('#');
        unescape(label.unwrap_or(channel), out);
    } else if let Some(command) = target.strip_prefix('!') {
        match label {
            Some(label) => unescape(label, out),
            None => {
                out.push('@');
                out.push_str(command.split('^').next().unwrap_or(command));
            }
        }
    } else {
        link(target, label, out);
    }
}

fn link(target: &str, label: Option<&str>, out: &mut String) {
    let address = target.strip_prefix("mailto:").or_else(|| target.strip_prefix("tel:"));
    let Some(label) = label else {
        return unescape(address.unwrap_or(target), out);
    };
    unescape(label, out);
    // Slack labels a bare "example.org" with itself: saying it twice helps nobody.
    let same = address == Some(label) || target.trim_end_matches('/').ends_with(label);
    if !same {
        out.push_str(" (");
        unescape(address.unwrap_or(target), out);
        out.push(')');
    }
}

fn unescape(text: &str, out: &mut String) {
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        let (before, special) = rest.split_at(at);
        out.push_str(before);
        if let Some((character, after)) = entity(special) {
            out.push(character);
            rest = after;
        } else {
            out.push('&');
            rest = &special[1..];
        }
    }
    out.push_str(rest);
}

#[cfg(test)]
mod tests {
    use super::{escaped, plain};

    fn read(text: &str) -> String {
        plain(text, |id| (id == "U1").then(|| "Ada".to_owned()))
    }

    #[test]
    fn what_people_typed_comes_back() {
        let cases = [
            ("plain", "plain"),
            ("a &lt;b&gt; &amp;amp; c", "a <b> &amp; c"),
            ("hi <@U1> and <@U2> and <@U3|bob>", "hi @Ada and @U2 and @bob"),
            ("see <#C1|general> or <#C2>", "see #general or #C2"),
            ("<!here> <!channel> <!subteam^S1|@ops> <!subteam^S2>", "@here @channel @ops @subteam"),
            ("<!date^1392734382^{date}|yesterday>", "yesterday"),
            ("<https://a.example/?x=1&amp;y=2>", "https://a.example/?x=1&y=2"),
            ("<https://a.example|the &amp; docs>", "the & docs (https://a.example)"),
            ("<http://a.example|a.example>", "a.example"),
            ("<mailto:a@b.example|a@b.example>", "a@b.example"),
            ("<mailto:a@b.example|Ada>", "Ada (a@b.example)"),
            ("1 < 2 & 3", "1 < 2 & 3"),
            ("&", "&"),
            ("<", "<"),
            ("", ""),
            ("grüße <@U1>…", "grüße @Ada…"),
        ];
        for (text, expected) in cases {
            assert_eq!(read(text), expected, "{text}");
        }
    }

    #[test]
    fn what_leaves_can_mention_nobody() {
        assert_eq!(escaped("<!channel> & <@U1>"), "&lt;!channel&gt; &amp; &lt;@U1&gt;");
        assert_eq!(read(&escaped("<!channel> &amp;")), "<!channel> &amp;");
    }
}
