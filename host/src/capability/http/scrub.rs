//! Takes secrets out of what comes back: a provider, or whoever plays one, may echo them.

use super::{Denied, RESPONSE_HEADER_BYTES};
use crate::capability::context::CallContext;
use crate::capability::secrets::SecretText;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use http::HeaderMap;
use zeroize::Zeroizing;

/// Shorter secrets would tear holes into every text.
const SHORTEST: usize = 6;
/// What stands where a secret was.
const MASK: &[u8] = b"***";

/// Knows every spelling of every secret of a connection.
pub(super) struct Scrubber {
    needles: Vec<Zeroizing<Vec<u8>>>,
}

impl Scrubber {
    pub(super) fn of(context: &CallContext) -> Self {
        let mut needles: Vec<Zeroizing<Vec<u8>>> = Vec::new();
        let stored = context.allowance.iter().flat_map(|allowance| allowance.secrets.all());
        let captured = context.captured.iter().map(|write| &write.value);
        for secret in stored.chain(captured) {
            needles.extend(spellings(secret));
        }
        // Longer ones first, so that no part of one survives beside the mask of another.
        needles.sort_by_key(|needle| std::cmp::Reverse(needle.len()));
        needles.dedup();
        Self { needles }
    }

    pub(super) fn bytes(&self, mut bytes: Vec<u8>) -> Vec<u8> {
        for needle in &self.needles {
            if let Some(clean) = replaced(&bytes, needle) {
                bytes = clean;
            }
        }
        bytes
    }

    fn text(&self, text: &str) -> String {
        String::from_utf8_lossy(&self.bytes(text.as_bytes().to_vec())).into_owned()
    }

    pub(super) fn headers(&self, headers: &HeaderMap) -> Vec<(String, String)> {
        let mut size = 0;
        headers
            .iter()
            .filter_map(|(name, value)| Some((name.as_str().to_owned(), value.to_str().ok()?)))
            .take_while(|(name, value)| {
                size += name.len() + value.len();
                size <= RESPONSE_HEADER_BYTES
            })
            .map(|(name, value)| (name, self.text(value)))
            .collect()
    }

    pub(super) fn denied(&self, denied: Denied) -> Denied {
        match denied {
            Denied::NotGranted(text) => Denied::NotGranted(self.text(&text)),
            Denied::NotSent(text) => Denied::NotSent(self.text(&text)),
            Denied::Ambiguous(text) => Denied::Ambiguous(self.text(&text)),
            Denied::TooLarge(limit) => Denied::TooLarge(limit),
        }
    }
}

fn spellings(secret: &SecretText) -> Vec<Zeroizing<Vec<u8>>> {
    let text = secret.expose();
    if text.len() < SHORTEST {
        return Vec::new();
    }
    let quoted = serde_json::Value::from(text).to_string();
    let inside = quoted.get(1..quoted.len() - 1).unwrap_or_default();
    let hex = hex::encode(text);
    let mut all = vec![
        text.to_owned(),
        url::form_urlencoded::byte_serialize(text.as_bytes()).collect(),
        inside.to_owned(),
        STANDARD.encode(text),
        STANDARD_NO_PAD.encode(text),
        URL_SAFE.encode(text),
        URL_SAFE_NO_PAD.encode(text),
        hex.to_uppercase(),
        hex,
    ];
    all.sort();
    all.dedup();
    all.into_iter().map(|text| Zeroizing::new(text.into_bytes())).collect()
}

/// The bytes with a mask for every occurrence; `None` without any.
fn replaced(bytes: &[u8], needle: &[u8]) -> Option<Vec<u8>> {
    let find =
        |from: usize| bytes.get(from..)?.windows(needle.len()).position(|window| window == needle);
    let mut from = 0;
    let mut clean = Vec::new();
    while let Some(at) = find(from) {
        clean.extend_from_slice(bytes.get(from..from + at)?);
        clean.extend_from_slice(MASK);
        from += at + needle.len();
    }
    if from == 0 {
        return None;
    }
    clean.extend_from_slice(bytes.get(from..)?);
    Some(clean)
}
