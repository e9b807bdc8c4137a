//! Keys from stored text, and what is computed with them. All cryptography is ring's.

use super::{Algorithm, Denied, Encoding, Hash, SecretText};
use base64::Engine;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use ring::hmac;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ED25519,
    EcdsaKeyPair, RSA_PKCS1_SHA256, RsaKeyPair, UnparsedPublicKey,
};
use zeroize::Zeroizing;

const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const BASE64: GeneralPurpose = GeneralPurpose::new(&base64::alphabet::STANDARD, LENIENT);
const BASE64_URL: GeneralPurpose = GeneralPurpose::new(&base64::alphabet::URL_SAFE, LENIENT);

/// The DER bytes before the point of a P-256 key in a SubjectPublicKeyInfo.
const P256_SPKI_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// A key for MACs.
pub(super) struct MacKey(hmac::Key);

impl MacKey {
    pub(super) fn sign(&self, data: &[u8]) -> Vec<u8> {
        hmac::sign(&self.0, data).as_ref().to_vec()
    }

    /// Constant time; the whole MAC is compared, a shorter one never fits.
    pub(super) fn verifies(&self, data: &[u8], mac: &[u8]) -> bool {
        hmac::verify(&self.0, data, mac).is_ok()
    }
}

/// The key that a stored text stands for.
pub(super) fn mac_key(text: &SecretText, hash: Hash, decode: Encoding) -> Result<MacKey, Denied> {
    let algorithm = match hash {
        Hash::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
        Hash::Sha256 => hmac::HMAC_SHA256,
        Hash::Sha512 => hmac::HMAC_SHA512,
    };
    let text = text.expose();
    let decoded = match decode {
        Encoding::Raw => return Ok(MacKey(hmac::Key::new(algorithm, text.as_bytes()))),
        Encoding::Hex => hex::decode(text).map_err(|_| Denied::Unusable("it is not hexadecimal")),
        Encoding::Base64 => BASE64.decode(text).map_err(|_| Denied::Unusable("it is not base64")),
        Encoding::Base64Url => {
            BASE64_URL.decode(text).map_err(|_| Denied::Unusable("it is not URL-safe base64"))
        }
    };
    let bytes = Zeroizing::new(decoded?);
    if bytes.is_empty() {
        return Err(Denied::NotSet);
    }
    Ok(MacKey(hmac::Key::new(algorithm, &bytes)))
}

/// A signature by a private key in PEM (PKCS#8).
pub(super) fn sign(key: &SecretText, algorithm: Algorithm, data: &[u8]) -> Result<Vec<u8>, Denied> {
    let der = pkcs8(key.expose())?;
    let random = SystemRandom::new();
    match algorithm {
        Algorithm::Rs256 => {
            let pair = RsaKeyPair::from_pkcs8(&der)
                .map_err(|_| Denied::Unusable("it is not an RSA key of at least 2048 bits"))?;
            let mut signature = vec![0; pair.public().modulus_len()];
            pair.sign(&RSA_PKCS1_SHA256, &random, data, &mut signature)
                .map_err(|_| Denied::Unusable("the key did not sign"))?;
            Ok(signature)
        }
        Algorithm::Es256 => {
            let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &der, &random)
                .map_err(|_| Denied::Unusable("it is not a P-256 key"))?;
            let signature =
                pair.sign(&random, data).map_err(|_| Denied::Unusable("the key did not sign"))?;
            Ok(signature.as_ref().to_vec())
        }
    }
}

/// The DER bytes of a PEM private key. Line ends may have been typed as `\n`.
fn pkcs8(pem: &str) -> Result<Zeroizing<Vec<u8>>, Denied> {
    let not_pem = Denied::Unusable("it is not a private key in PEM (PKCS#8)");
    let body = pem
        .split_once("-----BEGIN PRIVATE KEY-----")
        .and_then(|(_, rest)| rest.split_once("-----END PRIVATE KEY-----"))
        .map(|(body, _)| body)
        .ok_or(not_pem.clone())?;
    let typed = Zeroizing::new(body.replace("\\n", ""));
    let text: Zeroizing<String> =
        Zeroizing::new(typed.chars().filter(|c| !c.is_ascii_whitespace()).collect());
    Ok(Zeroizing::new(BASE64.decode(text.as_bytes()).map_err(|_| not_pem)?))
}

/// Whether the Ed25519 signature is genuine. A public key needs no hiding.
pub fn verify_ed25519(public_key: &[u8], data: &[u8], signature: &[u8]) -> bool {
    UnparsedPublicKey::new(&ED25519, public_key).verify(data, signature).is_ok()
}

/// Whether the ECDSA P-256 (SHA-256) signature is genuine. The key is an uncompressed SEC1 point or
/// a DER SubjectPublicKeyInfo; the signature is DER, or r and s of 32 bytes each.
pub fn verify_ecdsa_p256(public_key: &[u8], data: &[u8], signature: &[u8]) -> bool {
    let point = public_key.strip_prefix(&P256_SPKI_PREFIX).unwrap_or(public_key);
    let fixed = || UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(data, signature);
    let der = || UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point).verify(data, signature);
    if signature.len() == 64 { fixed().is_ok() || der().is_ok() } else { der().is_ok() }
}
