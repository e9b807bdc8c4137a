//! What is not secret: in a channel call the inbox's sections, in an integration call the
//! connection's.

use serde::de::DeserializeOwned;

use crate::backend::settings as host;
use crate::words::Failure;

/// A setting, or none when the operator left it out.
///
/// # Errors
/// `Permanent` when it is there and not of this type; the sentence names the setting, what was
/// expected and what was found.
pub fn get<T: DeserializeOwned>(name: &str) -> Result<Option<T>, Failure> {
    let Some(json) = host::get(name) else {
        return Ok(None);
    };
    serde_json::from_str(&json)
        .map_err(|error| Failure::permanent(format!("setting \"{name}\": {error}")))
}

/// A setting that must be there.
///
/// # Errors
/// As [`get`], and `Permanent` when it is missing.
pub fn required<T: DeserializeOwned>(name: &str) -> Result<T, Failure> {
    get(name)?.ok_or_else(|| Failure::permanent(format!("setting \"{name}\" is missing")))
}
