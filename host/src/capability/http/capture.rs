//! Secrets that a provider's answer holds.

use super::Capture;
use crate::capability::secrets::SecretText;
use serde_json::Value;

/// What the guest sees in place of a secret.
const HIDDEN: &str = "***";

/// Takes the strings out of a JSON body, and returns the body without them; `None` when it is not
/// JSON. A place that holds no string, or an empty one, is left as it is.
pub(super) fn capture(
    body: &[u8],
    captures: &[Capture],
    captured: &mut Vec<(String, SecretText)>,
) -> Option<Vec<u8>> {
    let mut json: Value = serde_json::from_slice(body).ok()?;
    for capture in captures {
        let Some(Value::String(found)) = json.pointer_mut(&capture.pointer) else { continue };
        if found.is_empty() {
            continue;
        }
        let value = std::mem::replace(found, HIDDEN.to_owned());
        captured.push((capture.secret.clone(), SecretText::new(value)));
    }
    if captured.is_empty() { None } else { Some(json.to_string().into_bytes()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_taken_and_hidden() {
        let capture_at =
            |pointer: &str| Capture { pointer: pointer.to_owned(), secret: "token".to_owned() };
        let mut taken = Vec::new();
        let body = br#"{"a":{"token":"xoxb-1"},"n":1,"e":""}"#;
        let captures = ["/a/token", "/n", "/e", "/missing"].map(capture_at);
        let rest = capture(body, &captures, &mut taken).unwrap();
        let rest: Value = serde_json::from_slice(&rest).unwrap();
        assert_eq!(rest, serde_json::json!({"a": {"token": "***"}, "n": 1, "e": ""}));
        assert_eq!(taken, [("token".to_owned(), SecretText::new("xoxb-1".to_owned()))]);
        assert_eq!(capture(b"not json", &captures, &mut Vec::new()), None);
    }
}
