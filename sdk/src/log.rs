//! Lines in the host's log, kept with the plugin's name and the call's trace. Length and lines per
//! call are limited. Write no bodies, no personal data.

use crate::backend::log as host;
use crate::bindings::host::tidegate::plugin::log::Level;

/// What only an author debugging a call wants to see.
pub fn debug(message: &str, fields: &[(&str, &str)]) {
    write(Level::Debug, message, fields);
}

/// What an operator may like to know.
pub fn info(message: &str, fields: &[(&str, &str)]) {
    write(Level::Info, message, fields);
}

/// What an operator should look at some day.
pub fn warn(message: &str, fields: &[(&str, &str)]) {
    write(Level::Warn, message, fields);
}

/// What an operator should look at now.
pub fn error(message: &str, fields: &[(&str, &str)]) {
    write(Level::Error, message, fields);
}

fn write(level: Level, message: &str, fields: &[(&str, &str)]) {
    let fields: Vec<(String, String)> =
        fields.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect();
    host::log(level, message, &fields);
}
