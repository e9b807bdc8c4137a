//! What components say of themselves, checked; and settings against it.

use crate::capability::grant::{Grant, Grants};
use crate::capability::secrets::SecretGrant;
use crate::capability::settings::Settings;
use crate::domain::plugin::{
    Capability, ChannelDefinition, Identity, IntegrationDefinition, SettingsSection,
};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

/// Longest key of a channel or an integration.
const KEY_CHARS: usize = 63;

/// What a component says of itself cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}: expected {expected}, found {found:?}")]
pub struct NotWellFormed {
    what: String,
    expected: &'static str,
    found: String,
}

type Result<T> = std::result::Result<T, NotWellFormed>;

fn not(what: impl Into<String>, expected: &'static str, found: impl ToString) -> NotWellFormed {
    let found = crate::capability::log::escape(&found.to_string(), 100);
    NotWellFormed { what: what.into(), expected, found }
}

fn key(what: &str, text: &str) -> Result<()> {
    let fine = text.len() <= KEY_CHARS
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_');
    if fine { Ok(()) } else { Err(not(what, "a word of a-z, 0-9, - and _", text)) }
}

pub(super) fn check_identity(identity: &Identity) -> Result<()> {
    key("publisher", &identity.publisher)?;
    key("name", &identity.name)?;
    let version = identity.version.as_str();
    let core = version.split(['-', '+']).next().unwrap_or_default();
    let numbers: Vec<&str> = core.split('.').collect();
    let number = |text: &&str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if version.len() > 64 || numbers.len() != 3 || !numbers.iter().all(number) {
        return Err(not("version", "a semantic version such as 1.2.3", version));
    }
    Ok(())
}

pub(super) fn check_integration(definition: &IntegrationDefinition) -> Result<()> {
    key("integration.key", &definition.key)?;
    sections(&definition.settings)?;
    for request in &definition.requests {
        if let Err(error) = Grant::parse(request.capability, &request.scope) {
            return Err(not("integration.requests", "a scope", error));
        }
    }
    Ok(())
}

pub(super) fn check_channel(definition: &ChannelDefinition) -> Result<()> {
    key("channel.key", &definition.key)?;
    sections(&definition.sections)?;
    let mut seen = BTreeSet::new();
    for field in &definition.fields {
        key("channel.fields", &field.key)?;
        if !seen.insert(&field.key) {
            return Err(not("channel.fields", "every key once", &field.key));
        }
    }
    Ok(())
}

fn sections(sections: &[SettingsSection]) -> Result<()> {
    let (mut ids, mut seen) = (BTreeSet::new(), BTreeSet::new());
    for section in sections {
        if !ids.insert(&section.id) {
            return Err(not("sections", "every id once", &section.id));
        }
        let schema = parsed(section).ok_or_else(|| {
            not(format!("section {}", section.id), "a JSON Schema of an object", &section.schema)
        })?;
        for (name, property) in schema.properties() {
            let what = format!("setting {name}");
            if !seen.insert(name.clone()) {
                return Err(not(what, "every name once", name));
            }
            let kind = property.get("type").and_then(Value::as_str).unwrap_or_default();
            if !["string", "integer", "number", "boolean", "array", "object"].contains(&kind) {
                return Err(not(what, "a type of JSON Schema", kind));
            }
        }
    }
    Ok(())
}

/// The schema of a section.
struct Schema(Map<String, Value>);

fn parsed(section: &SettingsSection) -> Option<Schema> {
    let schema: Value = serde_json::from_str(&section.schema).ok()?;
    let object = schema.as_object()?;
    let is_object = object.get("type").and_then(Value::as_str) == Some("object");
    let properties = object.get("properties").is_none_or(Value::is_object);
    (is_object && properties).then(|| Schema(object.clone()))
}

impl Schema {
    fn properties(&self) -> impl Iterator<Item = (&String, &Value)> {
        self.0.get("properties").and_then(Value::as_object).into_iter().flatten()
    }

    fn required(&self) -> impl Iterator<Item = &str> {
        self.0
            .get("required")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
    }
}

fn is_secret(property: &Value) -> bool {
    property.get("x-secret").is_some_and(|mark| *mark != Value::Bool(false))
}

/// One setting that cannot be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingError {
    /// Its name.
    pub name: String,
    /// What would be right.
    pub expected: String,
    /// What came.
    pub found: String,
}

/// The settings of a connection or inbox: those given, checked, and the defaults of the others.
///
/// # Errors
/// Every given setting that is unknown, a secret, or of another type.
pub fn settings_with_defaults(
    sections: &[SettingsSection],
    given: &BTreeMap<String, Value>,
) -> std::result::Result<Settings, Vec<SettingError>> {
    let mut values = BTreeMap::new();
    let mut errors = Vec::new();
    let mut known = BTreeSet::new();
    for schema in sections.iter().filter_map(parsed) {
        for (name, property) in schema.properties() {
            known.insert(name.clone());
            match given.get(name) {
                None => {
                    if let Some(default) = property.get("default").filter(|_| !is_secret(property))
                    {
                        values.insert(name.clone(), default.clone());
                    }
                }
                Some(_) if is_secret(property) => errors.push(SettingError {
                    name: name.clone(),
                    expected: "to be set as a secret".to_owned(),
                    found: "it among the settings".to_owned(),
                }),
                Some(value) => match expectation(property, value) {
                    None => {
                        values.insert(name.clone(), value.clone());
                    }
                    Some(expected) => errors.push(SettingError {
                        name: name.clone(),
                        expected,
                        found: crate::capability::log::escape(&value.to_string(), 100),
                    }),
                },
            }
        }
    }
    for name in given.keys().filter(|name| !known.contains(*name)) {
        let names: Vec<&str> = known.iter().map(String::as_str).collect();
        let expected = if names.is_empty() {
            "no settings".to_owned()
        } else {
            format!("one of {}", names.join(", "))
        };
        errors.push(SettingError { name: name.clone(), expected, found: name.clone() });
    }
    if errors.is_empty() { Ok(Settings::from_values(values)) } else { Err(errors) }
}

/// What a property expects, when the value is not that. A documented subset of JSON Schema: type,
/// enum, lengths, bounds, and the format uri.
fn expectation(property: &Value, value: &Value) -> Option<String> {
    let kind = property.get("type").and_then(Value::as_str).unwrap_or("string");
    let fits = match kind {
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        _ => value.is_object(),
    };
    if !fits {
        return Some(format!("a value of type {kind}"));
    }
    if let Some(words) = property.get("enum").and_then(Value::as_array)
        && !words.contains(value)
    {
        return Some(format!("one of {}", Value::from(words.clone())));
    }
    let bound = |name: &str| property.get(name).and_then(Value::as_f64);
    if let Some(text) = value.as_str() {
        #[allow(clippy::cast_precision_loss, reason = "lengths are far below 2^53")]
        let chars = text.chars().count() as f64;
        if bound("minLength").is_some_and(|least| chars < least)
            || bound("maxLength").is_some_and(|most| chars > most)
        {
            return Some("another length".to_owned());
        }
        let is_uri = property.get("format").and_then(Value::as_str) == Some("uri");
        if is_uri && url::Url::parse(text).is_err() {
            return Some("a URL".to_owned());
        }
    }
    if let Some(number) = value.as_f64()
        && (bound("minimum").is_some_and(|least| number < least)
            || bound("maximum").is_some_and(|most| number > most))
    {
        return Some("a number within its bounds".to_owned());
    }
    None
}

/// The names of the secrets that an integration uses: those it asks for and those its settings
/// declare.
pub fn secrets_of(definition: &IntegrationDefinition) -> BTreeSet<String> {
    let asked = definition.requests.iter().filter_map(|request| {
        match Grant::parse(request.capability, &request.scope) {
            Ok(Grant::Secret(SecretGrant { name, .. })) => Some(name),
            _ => None,
        }
    });
    let mut names: BTreeSet<String> = asked.collect();
    for schema in definition.settings.iter().filter_map(parsed) {
        let secret = schema.properties().filter(|(_, property)| is_secret(property));
        names.extend(secret.map(|(name, _)| name.clone()));
    }
    names
}

/// What a connection still lacks: kind (`setting`, `secret`, `grant`) and name.
pub fn missing(
    definition: &IntegrationDefinition,
    settings: &BTreeMap<String, Value>,
    secrets: &BTreeSet<String>,
    granted: &[(Capability, String)],
) -> Vec<(&'static str, String)> {
    let grants: Grants = granted
        .iter()
        .filter_map(|(capability, scope)| Grant::parse(*capability, scope).ok())
        .collect();
    let mut missing = Vec::new();
    for schema in definition.settings.iter().filter_map(parsed) {
        for name in schema.required() {
            let property = schema.properties().find(|(known, _)| *known == name);
            let Some((_, property)) = property else { continue };
            if is_secret(property) {
                if !secrets.contains(name) {
                    missing.push(("secret", name.to_owned()));
                }
            } else if !settings.contains_key(name) && property.get("default").is_none() {
                missing.push(("setting", name.to_owned()));
            }
        }
    }
    let declared: BTreeSet<String> = definition
        .settings
        .iter()
        .filter_map(parsed)
        .flat_map(|schema| schema.properties().map(|(name, _)| name.clone()).collect::<Vec<_>>())
        .collect();
    for request in &definition.requests {
        let Ok(grant) = Grant::parse(request.capability, &request.scope) else { continue };
        // A section that declares the secret says itself whether it is required.
        if let Grant::Secret(SecretGrant { name, .. }) = &grant
            && !declared.contains(name)
            && !secrets.contains(name)
            && !missing.iter().any(|(kind, known)| *kind == "secret" && known == name)
        {
            missing.push(("secret", name.clone()));
        }
        if !grants.covers(&grant) {
            let word = crate::store::connection::capability_word(request.capability);
            missing.push(("grant", format!("{word} {}", request.scope)));
        }
    }
    missing
}
