//! Takes secrets out of what comes back: as they are, percent-encoded, in base64, in hexadecimal and
//! as JSON writes them.

use super::assemble;
use crate::capability::secrets::SecretText;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use std::sync::Arc;
use zeroize::Zeroizing;

/// Shorter secrets are not looked for: they would be found everywhere.
const SHORTEST: usize = 6;
/// Shorter pieces of base64 are not looked for either.
const SHORTEST_BASE64: usize = 8;
const HIDDEN: &[u8] = b"***";

/// Finds the secrets of a request in any bytes. Cheap to clone.
#[derive(Clone)]
pub(super) struct Scrubber {
    needles: Arc<Needles>,
}

struct Needles {
    /// The longest first.
    all: Vec<Zeroizing<Vec<u8>>>,
    /// The bytes that one of them starts with.
    starts: [bool; 256],
    longest: usize,
}

impl Scrubber {
    /// Looks for `known` secrets in every encoding and for the texts that were `written` as they
    /// are.
    pub(super) fn new(known: &[SecretText], written: &[SecretText]) -> Self {
        let mut all: Vec<Zeroizing<Vec<u8>>> = Vec::new();
        for secret in known.iter().map(SecretText::expose).filter(|s| s.len() >= SHORTEST) {
            encodings(secret, &mut all);
        }
        for text in written.iter().map(SecretText::expose).filter(|s| s.len() >= SHORTEST) {
            all.push(Zeroizing::new(text.as_bytes().to_vec()));
        }
        all.sort_unstable_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        all.dedup();
        let mut starts = [false; 256];
        for first in all.iter().filter_map(|needle| needle.first()) {
            starts[usize::from(*first)] = true;
        }
        let longest = all.first().map_or(0, |needle| needle.len());
        Self { needles: Arc::new(Needles { all, starts, longest }) }
    }

    /// The bytes with `***` in place of every secret.
    pub(super) fn scrub(&self, bytes: &[u8]) -> Vec<u8> {
        let mut clean = Vec::with_capacity(bytes.len());
        self.needles.search(bytes, bytes.len(), &mut clean);
        clean
    }

    /// The same for bytes that come in pieces.
    pub(super) fn stream(&self) -> ScrubStream {
        ScrubStream { needles: Arc::clone(&self.needles), held: Vec::new() }
    }
}

/// A search over pieces. Holds back what may be the start of a secret.
pub(super) struct ScrubStream {
    needles: Arc<Needles>,
    held: Vec<u8>,
}

impl ScrubStream {
    /// What is certain after one more piece.
    pub(super) fn push(&mut self, piece: &[u8]) -> Vec<u8> {
        self.held.extend_from_slice(piece);
        let certain = (self.held.len() + 1).saturating_sub(self.needles.longest.max(1));
        let mut clean = Vec::with_capacity(certain);
        let done = self.needles.search(&self.held, certain, &mut clean);
        self.held.drain(..done);
        clean
    }

    /// The rest.
    pub(super) fn finish(self) -> Vec<u8> {
        let mut clean = Vec::with_capacity(self.held.len());
        self.needles.search(&self.held, self.held.len(), &mut clean);
        clean
    }
}

impl Needles {
    /// Looks for secrets that start before `end`, and says where it stopped.
    fn search(&self, bytes: &[u8], end: usize, clean: &mut Vec<u8>) -> usize {
        let (mut at, mut copied) = (0, 0);
        while at < end {
            let rest = &bytes[at..];
            let found = self.starts[usize::from(rest[0])]
                .then(|| self.all.iter().find(|needle| rest.starts_with(needle)))
                .flatten();
            match found {
                Some(needle) => {
                    clean.extend_from_slice(&bytes[copied..at]);
                    clean.extend_from_slice(HIDDEN);
                    at += needle.len();
                    copied = at;
                }
                None => at += 1,
            }
        }
        clean.extend_from_slice(&bytes[copied..at]);
        at
    }
}

fn encodings(secret: &str, all: &mut Vec<Zeroizing<Vec<u8>>>) {
    let mut add = |text: String| all.push(Zeroizing::new(text.into_bytes()));
    add(secret.to_owned());
    let encoded = assemble::percent_encoded(secret);
    add(lower_escapes(&encoded));
    // As forms and as URL parsers write it.
    add(encoded.replace("%20", "+"));
    add(url::form_urlencoded::byte_serialize(secret.as_bytes()).collect());
    add(encoded);
    add(hex::encode(secret));
    add(hex::encode_upper(secret));
    let json = assemble::json_string(secret);
    let inside = json.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(&json);
    add(inside.replace('/', "\\/"));
    add(inside.to_owned());
    // Base64 of a text that the secret is a part of depends on where it starts in it.
    for before in 0..3_usize {
        let mut text = Zeroizing::new(vec![0; before]);
        text.extend_from_slice(secret.as_bytes());
        // Six bits a character: those that hold bits of a neighbour are left out.
        let (first, last) = ((before * 8).div_ceil(6), text.len() * 8 / 6);
        for engine in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
            let encoded = engine.encode(&*text);
            if let Some(piece) = encoded.get(first..last).filter(|p| p.len() >= SHORTEST_BASE64) {
                add(piece.to_owned());
            }
        }
    }
}

/// `%2F` as `%2f`.
fn lower_escapes(encoded: &str) -> String {
    let mut lower = String::with_capacity(encoded.len());
    let mut in_escape = 0;
    for c in encoded.chars() {
        if c == '%' {
            in_escape = 2;
            lower.push(c);
        } else if in_escape > 0 {
            in_escape -= 1;
            lower.push(c.to_ascii_lowercase());
        } else {
            lower.push(c);
        }
    }
    lower
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::engine::general_purpose::STANDARD;

    fn scrubber(secret: &str) -> Scrubber {
        Scrubber::new(&[SecretText::new(secret.to_owned())], &[])
    }

    #[test]
    fn a_secret_is_found_in_every_writing() {
        let secret = "s3cr/t \"t0ken\"+x";
        let scrubber = scrubber(secret);
        let written = [
            secret.to_owned(),
            "s3cr%2Ft%20%22t0ken%22%2Bx".to_owned(),
            "s3cr%2ft%20%22t0ken%22%2bx".to_owned(),
            "s3cr%2Ft+%22t0ken%22%2Bx".to_owned(),
            hex::encode(secret),
            hex::encode_upper(secret),
            assemble::json_string(secret),
            "s3cr\\/t \\\"t0ken\\\"+x".to_owned(),
            STANDARD.encode(secret),
            STANDARD.encode(format!("user:{secret}")),
            STANDARD.encode(format!("me:{secret}:x")),
            STANDARD.encode(format!("m:{secret}")),
        ];
        for text in written {
            let clean = scrubber.scrub(format!("before {text} after").as_bytes());
            let clean = String::from_utf8(clean).unwrap();
            assert!(clean.contains("***"), "{text}: {clean}");
            let found = text.get(8..text.len() - 8).unwrap_or(&text);
            assert!(!clean.contains(found) || found.is_empty(), "{text}: {clean}");
        }
    }

    #[test]
    fn other_bytes_stay_and_short_secrets_are_not_looked_for() {
        assert_eq!(scrubber("short").scrub(b"a short text"), b"a short text");
        assert_eq!(scrubber("longer").scrub(b"\xff\x00long"), b"\xff\x00long");
        assert_eq!(scrubber("longer").scrub(b"longerlonger."), b"******.");
    }

    #[test]
    fn a_secret_across_pieces_is_found() {
        let text = b"abc sesame-open def sesame-ope";
        for size in 1..text.len() {
            let mut stream = scrubber("sesame-open").stream();
            let mut clean: Vec<u8> =
                text.chunks(size).flat_map(|piece| stream.push(piece)).collect();
            clean.extend(stream.finish());
            assert_eq!(clean, b"abc *** def sesame-ope", "pieces of {size}");
        }
    }
}
