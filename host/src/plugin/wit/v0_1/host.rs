//! The host interfaces of version 0.1: each call is counted, translated and handed to its
//! capability.

use super::super::super::state::GuestState;
use super::imports;
use crate::capability::{blobs, http, kv, log, secrets, settings};
use wasmtime::Result;

impl imports::types::Host for GuestState {}
impl imports::exchange::Host for GuestState {}

impl imports::log::Host for GuestState {
    fn log(
        &mut self,
        level: imports::log::Level,
        message: String,
        fields: Vec<(String, String)>,
    ) -> Result<()> {
        self.context.charge()?;
        let level = match level {
            imports::log::Level::Trace => log::Level::Trace,
            imports::log::Level::Debug => log::Level::Debug,
            imports::log::Level::Info => log::Level::Info,
            imports::log::Level::Warn => log::Level::Warn,
            imports::log::Level::Error => log::Level::Error,
        };
        log::log(&mut self.context, level, &message, &fields);
        Ok(())
    }
}

impl imports::settings::Host for GuestState {
    fn get(&mut self, name: String) -> Result<Option<String>> {
        self.context.charge()?;
        Ok(settings::get(&self.context, &name))
    }
}

fn hash(hash: imports::secrets::Hash) -> secrets::Hash {
    match hash {
        imports::secrets::Hash::Sha1 => secrets::Hash::Sha1,
        imports::secrets::Hash::Sha256 => secrets::Hash::Sha256,
        imports::secrets::Hash::Sha512 => secrets::Hash::Sha512,
    }
}

fn encoding(encoding: imports::secrets::Encoding) -> secrets::Encoding {
    match encoding {
        imports::secrets::Encoding::Raw => secrets::Encoding::Raw,
        imports::secrets::Encoding::Hex => secrets::Encoding::Hex,
        imports::secrets::Encoding::Base64 => secrets::Encoding::Base64,
        imports::secrets::Encoding::Base64Url => secrets::Encoding::Base64Url,
    }
}

fn secret_denied(denied: secrets::Denied) -> imports::secrets::Error {
    match denied {
        secrets::Denied::NotGranted => imports::secrets::Error::NotGranted,
        secrets::Denied::NotSet => imports::secrets::Error::NotSet,
        secrets::Denied::Unusable(why) => imports::secrets::Error::Unusable(why.to_owned()),
    }
}

type SecretResult<T> = Result<std::result::Result<T, imports::secrets::Error>>;

impl imports::secrets::Host for GuestState {
    fn mac(
        &mut self,
        name: String,
        with: imports::secrets::Hash,
        decode: imports::secrets::Encoding,
        data: Vec<u8>,
    ) -> SecretResult<Vec<u8>> {
        self.context.charge()?;
        let mac = secrets::mac(&self.context, &name, hash(with), encoding(decode), &data);
        Ok(mac.map_err(secret_denied))
    }

    fn verify_mac(
        &mut self,
        name: String,
        with: imports::secrets::Hash,
        decode: imports::secrets::Encoding,
        data: Vec<u8>,
        mac: Vec<u8>,
    ) -> SecretResult<bool> {
        self.context.charge()?;
        let (with, decode) = (hash(with), encoding(decode));
        let same = secrets::verify_mac(&self.context, &name, with, decode, &data, &mac);
        Ok(same.map_err(secret_denied))
    }

    fn matches(&mut self, name: String, candidate: String) -> SecretResult<bool> {
        self.context.charge()?;
        Ok(secrets::matches(&self.context, &name, &candidate).map_err(secret_denied))
    }

    fn sign(
        &mut self,
        name: String,
        algorithm: imports::secrets::Algorithm,
        data: Vec<u8>,
    ) -> SecretResult<Vec<u8>> {
        self.context.charge()?;
        let algorithm = match algorithm {
            imports::secrets::Algorithm::Rs256 => secrets::Algorithm::Rs256,
            imports::secrets::Algorithm::Es256 => secrets::Algorithm::Es256,
        };
        Ok(secrets::sign(&self.context, &name, algorithm, &data).map_err(secret_denied))
    }

    fn verify_ed25519(
        &mut self,
        public_key: Vec<u8>,
        data: Vec<u8>,
        signature: Vec<u8>,
    ) -> Result<bool> {
        self.context.charge()?;
        Ok(secrets::verify_ed25519(&public_key, &data, &signature))
    }

    fn verify_ecdsa_p256(
        &mut self,
        public_key: Vec<u8>,
        data: Vec<u8>,
        signature: Vec<u8>,
    ) -> Result<bool> {
        self.context.charge()?;
        Ok(secrets::verify_ecdsa_p256(&public_key, &data, &signature))
    }
}

fn part(part: imports::http::Part) -> http::Part {
    use imports::http::{Form, Part};
    match part {
        Part::Text(text) => http::Part::Text(text),
        Part::Bytes(bytes) => http::Part::Bytes(bytes),
        Part::Blob(id) => http::Part::Blob(id),
        Part::Secret((name, form)) => {
            let form = match form {
                Form::Plain => http::Form::Plain,
                Form::Base64 => http::Form::Base64,
                Form::UrlEncoded => http::Form::UrlEncoded,
                Form::JsonString => http::Form::JsonString,
            };
            http::Part::Secret { name, form }
        }
        Part::BasicAuth((user, secret)) => http::Part::BasicAuth { user, secret },
    }
}

fn parts(written: Vec<imports::http::Part>) -> Vec<http::Part> {
    written.into_iter().map(part).collect()
}

impl imports::http::Host for GuestState {
    async fn send(
        &mut self,
        request: imports::http::Request,
    ) -> Result<std::result::Result<imports::http::Response, imports::http::Error>> {
        self.context.charge()?;
        let request = http::Request {
            method: request.method,
            url: parts(request.url),
            headers: request
                .headers
                .into_iter()
                .map(|header| http::Header { name: header.name, value: parts(header.value) })
                .collect(),
            body: parts(request.body),
            timeout_ms: request.timeout_ms,
            into_blob: request.into_blob,
            captures: request
                .captures
                .into_iter()
                .map(|it| http::Capture { pointer: it.pointer, secret: it.secret })
                .collect(),
        };
        let answer = http::send(&mut self.context, request).await?;
        Ok(answer
            .map(|response| imports::http::Response {
                status: response.status,
                headers: response.headers,
                body: match response.body {
                    http::Body::Bytes(bytes) => imports::http::Body::Bytes(bytes),
                    http::Body::Blob(id) => imports::http::Body::Blob(id),
                },
            })
            .map_err(|denied| match denied {
                http::HttpError::Denied(what) => imports::http::Error::Denied(what),
                http::HttpError::NotSent(why) => imports::http::Error::NotSent(why),
                http::HttpError::Ambiguous(why) => imports::http::Error::Ambiguous(why),
                http::HttpError::TooLarge(limit) => imports::http::Error::TooLarge(limit),
            }))
    }
}

fn kv_denied(denied: kv::Denied) -> imports::kv::Error {
    match denied {
        kv::Denied::NotGranted => imports::kv::Error::NotGranted,
        kv::Denied::TooLarge => imports::kv::Error::TooLarge,
        kv::Denied::Quota => imports::kv::Error::Quota,
        kv::Denied::ReadOnly => imports::kv::Error::ReadOnly,
    }
}

type KvResult<T> = Result<std::result::Result<T, imports::kv::Error>>;

impl imports::kv::Host for GuestState {
    async fn get(&mut self, key: String) -> KvResult<Option<Vec<u8>>> {
        self.context.charge()?;
        Ok(kv::get(&self.context, key).await?.map_err(kv_denied))
    }

    async fn set(&mut self, key: String, value: Vec<u8>, ttl_ms: Option<u64>) -> KvResult<()> {
        self.context.charge()?;
        Ok(kv::set(&mut self.context, key, value, ttl_ms).await?.map_err(kv_denied))
    }

    async fn delete(&mut self, key: String) -> KvResult<()> {
        self.context.charge()?;
        Ok(kv::delete(&mut self.context, key).map_err(kv_denied))
    }
}

fn blob_denied(denied: blobs::Denied) -> imports::blobs::Error {
    match denied {
        blobs::Denied::NotFound => imports::blobs::Error::NotFound,
        blobs::Denied::NotGranted => imports::blobs::Error::NotGranted,
        blobs::Denied::TooLarge => imports::blobs::Error::TooLarge,
    }
}

type BlobResult<T> = Result<std::result::Result<T, imports::blobs::Error>>;

impl imports::blobs::Host for GuestState {
    async fn stat(&mut self, id: String) -> BlobResult<imports::blobs::Info> {
        self.context.charge()?;
        let info = blobs::stat(&self.context, id).await?;
        Ok(info
            .map(|info| imports::blobs::Info {
                size: info.size,
                content_type: info.content_type,
                name: info.name,
            })
            .map_err(blob_denied))
    }

    async fn read(&mut self, id: String, offset: u64, len: u32) -> BlobResult<Vec<u8>> {
        self.context.charge()?;
        Ok(blobs::read(&self.context, id, offset, len).await?.map_err(blob_denied))
    }

    async fn create(
        &mut self,
        name: String,
        content_type: String,
        bytes: Vec<u8>,
    ) -> BlobResult<String> {
        self.context.charge()?;
        let created = blobs::create(&mut self.context, &name, &content_type, bytes).await?;
        Ok(created.map_err(blob_denied))
    }
}
