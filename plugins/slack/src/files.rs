//! Files of people's messages: named while the message is read, fetched later.

use serde::Deserialize;
use tidegate_sdk::json::Text;
use tidegate_sdk::{Attachment, AttachmentSource, Failure, http};

use crate::api::{self, BOT_TOKEN, Twice};

/// A file as a message names it.
#[derive(Debug, Deserialize)]
pub(crate) struct File<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    name: Option<Text<'a>>,
    mimetype: Option<Text<'a>>,
    size: Option<u64>,
    mode: Option<Text<'a>>,
    is_external: Option<bool>,
    url_private: Option<Text<'a>>,
    url_private_download: Option<Text<'a>>,
}

/// What becomes of a file in a message.
pub(crate) enum Found {
    Attachment(Attachment),
    /// Nothing that could be fetched: a line for the reader.
    Line(String),
    /// Deleted before it was read.
    Gone,
}

impl File<'_> {
    pub(crate) fn found(self) -> Found {
        let name = match self.name {
            Some(name) if !name.is_empty() => name.into_string(),
            _ => self.id.to_string(),
        };
        match self.mode.as_deref() {
            Some("tombstone") => return Found::Gone,
            Some("hidden_by_limit") => {
                return Found::Line(format!("[{name}: hidden by the workspace's plan]"));
            }
            _ => {}
        }
        let url = self.url_private_download.or(self.url_private).map(Text::into_string);
        if self.is_external == Some(true) {
            return Found::Line(match url {
                Some(url) => format!("[{name}: {url}]"),
                None => format!("[{name}]"),
            });
        }
        Found::Attachment(Attachment {
            name,
            content_type: match self.mimetype {
                Some(mimetype) => mimetype.into_string(),
                None => "application/octet-stream".to_owned(),
            },
            // Over Slack Connect a file may come without its URL; `files.info` has it.
            source: AttachmentSource::Remote(url.unwrap_or_else(|| self.id.to_string())),
            byte_size: self.size,
        })
    }
}

/// Brings a file into a blob: `remote` is its URL or its id.
pub(crate) fn fetch(remote: &str) -> Result<String, Failure> {
    let url = if remote.starts_with("http://") || remote.starts_with("https://") {
        remote.to_owned()
    } else {
        url_of(remote)?
    };
    let path = url.split(['?', '#']).next().unwrap_or(&url);
    let name = path.rsplit('/').next().filter(|name| !name.is_empty()).unwrap_or("file");
    let response = http::get(&url).bearer_secret(BOT_TOKEN).into_blob(name).send()?;
    let login = Failure::permanent(
        "Slack sent its login page instead of the file: the bot token lacks the scope files:read, \
         or the bot cannot see the file",
    );
    match response.status() {
        300..=399 => return Err(login),
        404 | 410 => return Err(Failure::permanent("the file is not there any more")),
        _ => api::status(&response, Twice::Harmless)?,
    }
    let is_html = response.header("content-type").is_some_and(|it| it.starts_with("text/html"));
    if is_html && !name.ends_with(".html") && !name.ends_with(".htm") {
        return Err(login);
    }
    match response.blob() {
        Some(id) => Ok(id.to_owned()),
        None => Err(Failure::retry("the host kept no blob")),
    }
}

fn url_of(id: &str) -> Result<String, Failure> {
    #[derive(Deserialize)]
    struct Info {
        file: InfoFile,
    }
    #[derive(Deserialize)]
    struct InfoFile {
        url_private: Option<String>,
        url_private_download: Option<String>,
    }
    let info: Info = api::read("files.info", ("file", id), 10_000)?;
    let url = info.file.url_private_download.or(info.file.url_private);
    url.ok_or_else(|| Failure::permanent("Slack gives no URL for the file"))
}
