//! The one outgoing HTTP client, for plugins, notifications and media.
//!
//! The policy is applied twice: to the URL as written, and to every address that its host resolves
//! to, before anything is dialled. HTTPS only; no redirects, no proxies from the environment, no
//! cookies, no decompression; one deadline over everything; a cap on the bytes that are read.
//!
//! The roots of trust are compiled in (webpki-roots): the client works the same on a machine or in
//! an image that has no CA certificates, and does not trust what others put into the machine's
//! store.

mod address;
mod client;

pub use address::{Forbidden, Policy, check_url};
pub use client::{
    Body, BodyError, BodyStream, Client, ClientError, OpenResponse, Outgoing, SendError,
    TakenResponse,
};

/// Makes ring the process's source of cryptography for TLS, for clients that are not this one. A
/// second call changes nothing.
pub fn install_crypto() {
    // An error says that one is installed, which is all that is wanted.
    drop(rustls::crypto::ring::default_provider().install_default());
}
