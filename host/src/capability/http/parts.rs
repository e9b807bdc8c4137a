//! From the pieces that a guest wrote to the text or bytes that are sent.

use super::{Denied, Form, Part, Stop, not_granted};
use crate::capability::blobs;
use crate::capability::context::CallContext;
use crate::outgoing::{BlobStream, Body, body_of};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::StreamExt;
use std::sync::Arc;
use url::Url;

/// What stands for a secret while a URL is judged.
const PLACEHOLDER: &str = "secret";

/// The URL with a placeholder for every secret.
pub(super) fn draft(parts: &[Part]) -> Result<String, Stop> {
    let mut text = String::new();
    for part in parts {
        match part {
            Part::Text(piece) => text.push_str(piece),
            Part::Secret(..) => text.push_str(PLACEHOLDER),
            Part::Bytes(_) | Part::Blob(_) | Part::BasicAuth(..) => {
                return Err(not_granted("bytes, blobs or basic authorization in a URL"));
            }
        }
    }
    Ok(text)
}

/// The text of a URL or a header value, with its secrets.
pub(super) fn text(context: &CallContext, url: &Url, parts: &[Part]) -> Result<String, Stop> {
    let mut text = String::new();
    for part in parts {
        match part {
            Part::Text(piece) => text.push_str(piece),
            Part::Secret(name, form) => text.push_str(&secret(context, url, name, *form)?),
            Part::BasicAuth(user, name) => {
                let secret = secret(context, url, name, Form::Plain)?;
                text.push_str(&STANDARD.encode(format!("{user}:{secret}")));
            }
            Part::Bytes(_) | Part::Blob(_) => {
                return Err(not_granted("bytes or blobs in a URL or header"));
            }
        }
    }
    Ok(text)
}

/// The body: one piece of memory where there is no blob, a stream otherwise.
pub(super) async fn body(context: &CallContext, url: &Url, parts: &[Part]) -> Result<Body, Stop> {
    let limit = context.services.limits.http_request_bytes;
    let mut size = 0_u64;
    let mut pieces: Vec<Result<Bytes, String>> = Vec::with_capacity(parts.len());
    for part in parts {
        let piece = match part {
            Part::Text(piece) => Ok(Bytes::from(piece.clone())),
            Part::Bytes(piece) => Ok(Bytes::from(piece.clone())),
            Part::Blob(id) => {
                let info = blobs::stat(context, id.clone())
                    .await?
                    .map_err(|_| Denied::NotSent(format!("there is no blob {id}")))?;
                size = size.saturating_add(info.size);
                Err(id.clone())
            }
            Part::Secret(..) | Part::BasicAuth(..) => {
                Ok(Bytes::from(text(context, url, std::slice::from_ref(part))?))
            }
        };
        size = size.saturating_add(piece.as_ref().map_or(0, |piece| piece.len() as u64));
        pieces.push(piece);
    }
    if size > limit {
        return Err(not_granted(format!("a request of more than {limit} bytes")));
    }
    if pieces.iter().all(Result::is_ok) {
        let whole: Vec<u8> = pieces.into_iter().flatten().flatten().collect();
        return Ok(Body::from(whole));
    }
    let streams = pieces
        .into_iter()
        .map(|piece| match piece {
            Ok(bytes) => futures_util::stream::iter([Ok(bytes)]).boxed(),
            Err(id) => blob_stream(context, id),
        })
        .collect();
    Ok(body_of(streams))
}

/// The bytes of a blob, read piece by piece.
fn blob_stream(context: &CallContext, id: String) -> BlobStream {
    const PIECE: u32 = 256 << 10;
    let memory = Arc::clone(&context.services.memory);
    let account = context.allowance.as_ref().map(|allowance| allowance.account);
    futures_util::stream::unfold(Some(0_u64), move |offset| {
        let (memory, id) = (Arc::clone(&memory), id.clone());
        async move {
            let (offset, account) = (offset?, account?);
            match memory.blob_read(account, id, offset, PIECE).await {
                Ok(Some(bytes)) if bytes.is_empty() => None,
                Ok(Some(bytes)) => {
                    let next = offset + bytes.len() as u64;
                    Some((Ok(Bytes::from(bytes)), Some(next)))
                }
                Ok(None) => Some((Err(std::io::Error::other("the blob is gone")), None)),
                Err(error) => Some((Err(std::io::Error::other(error.to_string())), None)),
            }
        }
    })
    .boxed()
}

/// A secret for a host that it is granted to.
fn secret(context: &CallContext, url: &Url, name: &str, form: Form) -> Result<String, Stop> {
    let Some(allowance) = &context.allowance else { return Err(not_granted("no connection")) };
    let granted =
        allowance.grants.secrets.iter().any(|grant| grant.reaches(name, url, &allowance.settings));
    if !granted {
        let name = crate::capability::log::escape(name, 64);
        let host = url.host_str().unwrap_or_default();
        return Err(not_granted(format!("secret {name} to {host}")));
    }
    let value = context
        .secret_values(name)
        .next()
        .ok_or_else(|| Denied::NotSent(format!("the secret {name} is not set")))?;
    let text = value.expose();
    Ok(match form {
        Form::Plain => text.to_owned(),
        Form::Base64 => STANDARD.encode(text),
        Form::UrlEncoded => url::form_urlencoded::byte_serialize(text.as_bytes()).collect(),
        Form::JsonString => {
            let quoted = serde_json::Value::from(text).to_string();
            quoted.get(1..quoted.len() - 1).unwrap_or_default().to_owned()
        }
    })
}
