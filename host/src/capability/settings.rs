//! `settings`: what is not secret, as JSON text by name. Needs no grant.
//!
//! A channel call sees the inbox's, an integration call the connection's, a description none.

use super::Side;
use super::context::CallContext;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use url::Url;

/// Settings by name, each as JSON text. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    values: Arc<BTreeMap<String, Setting>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Setting {
    json: String,
    /// The value as a URL, where it is one.
    url: Option<Url>,
}

impl Settings {
    /// Settings from values by name; `null` counts as not set.
    pub fn from_values<N: Into<String>>(values: impl IntoIterator<Item = (N, Value)>) -> Self {
        let set = values.into_iter().filter(|(_, value)| !value.is_null());
        let values = set.map(|(name, value)| {
            let url = value.as_str().and_then(|text| Url::parse(text).ok());
            (name.into(), Setting { json: value.to_string(), url })
        });
        Self { values: Arc::new(values.collect()) }
    }

    /// The JSON text of a setting.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(|setting| setting.json.as_str())
    }

    /// A setting that holds a URL, as one.
    pub fn url(&self, name: &str) -> Option<&Url> {
        self.values.get(name)?.url.as_ref()
    }

    /// The names that have a value, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.values.keys().map(String::as_str)
    }
}

/// The JSON text of a setting as the running export sees it.
pub fn get(context: &CallContext, name: &str) -> Option<String> {
    let settings = match context.export.side() {
        Side::Neither => None,
        Side::Channel => context.inbox.as_ref().map(|inbox| &inbox.settings),
        Side::Integration => context.allowance.as_ref().map(|allowance| &allowance.settings),
    };
    settings?.get(name).map(str::to_owned)
}
