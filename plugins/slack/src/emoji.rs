//! Slack names emoji, people write them. The ones that people react with most are translated; any
//! other keeps Slack's name.

const NAMES: [(&str, &str); 24] = [
    ("+1", "👍"),
    ("-1", "👎"),
    ("100", "💯"),
    ("clap", "👏"),
    ("cry", "😢"),
    ("eyes", "👀"),
    ("fire", "🔥"),
    ("heart", "❤️"),
    ("heavy_check_mark", "✔️"),
    ("joy", "😂"),
    ("ok_hand", "👌"),
    ("open_mouth", "😮"),
    ("pray", "🙏"),
    ("question", "❓"),
    ("raised_hands", "🙌"),
    ("rocket", "🚀"),
    ("rage", "😡"),
    ("smile", "😄"),
    ("tada", "🎉"),
    ("thinking_face", "🤔"),
    ("wave", "👋"),
    ("warning", "⚠️"),
    ("white_check_mark", "✅"),
    ("x", "❌"),
];

/// The emoji of Slack's name; without a known one, the name. Skin tones are left out.
pub(crate) fn character(name: &str) -> String {
    let name = name.split("::").next().unwrap_or(name);
    let name = match name {
        "thumbsup" => "+1",
        "thumbsdown" => "-1",
        other => other,
    };
    match NAMES.iter().find(|&&(known, _)| known == name) {
        Some(&(_, character)) => character.to_owned(),
        None => name.to_owned(),
    }
}

/// Slack's name of an emoji, which may be a name already, with colons or without.
pub(crate) fn name(emoji: &str) -> &str {
    match NAMES.iter().find(|&&(_, character)| character == emoji) {
        Some(&(name, _)) => name,
        None => emoji.trim_matches(':'),
    }
}

#[cfg(test)]
mod tests {
    use super::{NAMES, character, name};

    #[test]
    fn every_emoji_goes_both_ways() {
        for (slack, shown) in NAMES {
            assert_eq!(character(slack), shown);
            assert_eq!(name(shown), slack);
        }
        assert_eq!(character("thumbsup::skin-tone-3"), "👍");
        assert_eq!(character("party_parrot"), "party_parrot");
        assert_eq!(name(":party_parrot:"), "party_parrot");
    }
}
