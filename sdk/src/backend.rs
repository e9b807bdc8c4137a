//! Where the wrappers' calls go: the host inside a component, [`native`](crate::native) outside.

#[cfg(target_family = "wasm")]
pub(crate) use crate::bindings::host::tidegate::plugin::{blobs, http, kv, log, secrets, settings};

#[cfg(not(target_family = "wasm"))]
pub(crate) use crate::native::{blobs, http, kv, log, secrets, settings};
