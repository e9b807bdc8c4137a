//! What a file is, before anything of it is compiled or run.

use super::definition::NotWellFormed;
use crate::store::blob::digest_of;
use wasmparser::{Encoding, Parser, Payload};

/// The version of the plugin interface that this host serves.
const INTERFACE: &str = "tidegate:plugin";
const VERSION: &str = "0.1.0";
/// WASI interfaces that are served, as stubs.
const WASI: [&str; 4] = ["wasi:cli/", "wasi:clocks/", "wasi:io/", "wasi:random/"];

/// What a component imports and exports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// SHA-256, in hexadecimal.
    pub digest: String,
    /// Bytes.
    pub size: u64,
    /// Interfaces that it imports.
    pub imports: Vec<String>,
    /// Interfaces that it exports.
    pub exports: Vec<String>,
}

/// Why a component is not taken. Nothing of it is stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// More bytes than allowed.
    #[error("expected a component of at most {limit} bytes, found {size}")]
    TooLarge {
        /// Its bytes.
        size: usize,
        /// The limit.
        limit: usize,
    },
    /// Not WebAssembly.
    #[error("expected a WebAssembly component, found something that does not begin like one")]
    NotWasm,
    /// A core module.
    #[error(
        "expected a WebAssembly component, found a core module; build for wasm32-wasip2, or wrap it with `wasm-tools component new`"
    )]
    CoreModule,
    /// WebAssembly that does not parse.
    #[error("the component does not parse: {0}")]
    Malformed(String),
    /// An import that this host does not serve.
    #[error("it imports {name}, which this host does not offer{hint}")]
    UnknownImport {
        /// Its name.
        name: String,
        /// What to do instead.
        hint: &'static str,
    },
    /// Another version of the plugin interface.
    #[error(
        "it is built for {found}; this host serves tidegate:plugin@{VERSION}: build it with the SDK of that version"
    )]
    UnknownVersion {
        /// What it names.
        found: String,
    },
    /// Neither interface.
    #[error("it exports neither tidegate:plugin/channel nor tidegate:plugin/integration")]
    NoInterface,
    /// An interface without all of its functions.
    #[error("it exports {name}, but not all of its functions: build it with the SDK")]
    IncompleteInterface {
        /// The interface.
        name: String,
    },
    /// Nobody.
    #[error("it does not export tidegate:plugin/identity, so nobody can say whose it is")]
    NoIdentity,
    /// It does not compile or instantiate.
    #[error("it does not compile: {0}")]
    DoesNotCompile(String),
    /// It does not say what it is.
    #[error("it does not describe itself: {0}")]
    DoesNotDescribe(String),
    /// What it says of itself cannot be.
    #[error("what it says of itself cannot be: {0}")]
    NotWellFormed(#[from] NotWellFormed),
}

/// Says what a component imports and exports, and refuses what this host cannot serve.
///
/// # Errors
/// See [`Refusal`].
pub fn inspect(bytes: &[u8], limit: usize) -> Result<Inspection, Refusal> {
    if bytes.len() > limit {
        return Err(Refusal::TooLarge { size: bytes.len(), limit });
    }
    if !bytes.starts_with(b"\0asm") {
        return Err(Refusal::NotWasm);
    }
    if !Parser::is_component(bytes) {
        return Err(if Parser::is_core_wasm(bytes) {
            Refusal::CoreModule
        } else {
            Refusal::NotWasm
        });
    }
    let (imports, exports) = surface(bytes)?;
    for name in &imports {
        check_import(name)?;
    }
    for name in &exports {
        check_version(name)?;
    }
    let has = |interface: &str| exports.iter().any(|name| *name == interface_name(interface));
    if !has("channel") && !has("integration") {
        return Err(Refusal::NoInterface);
    }
    if !has("identity") {
        return Err(Refusal::NoIdentity);
    }
    Ok(Inspection { digest: digest_of(bytes), size: bytes.len() as u64, imports, exports })
}

/// The full name of one of the interfaces, in the version that this host serves.
pub(super) fn interface_name(interface: &str) -> String {
    format!("{INTERFACE}/{interface}@{VERSION}")
}

/// The names at the component's own level; those of nested components are theirs.
fn surface(bytes: &[u8]) -> Result<(Vec<String>, Vec<String>), Refusal> {
    let malformed = |error: wasmparser::BinaryReaderError| Refusal::Malformed(error.to_string());
    let (mut imports, mut exports) = (Vec::new(), Vec::new());
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.map_err(malformed)? {
            Payload::Version { encoding: Encoding::Component | Encoding::Module, .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 1 => {
                for import in section {
                    imports.push(import.map_err(malformed)?.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(section) if depth == 1 => {
                for export in section {
                    exports.push(export.map_err(malformed)?.name.name.to_owned());
                }
            }
            _ => {}
        }
    }
    Ok((imports, exports))
}

fn check_import(name: &str) -> Result<(), Refusal> {
    if WASI.iter().any(|start| name.starts_with(start)) && name.contains("@0.2.") {
        return Ok(());
    }
    check_version(name)?;
    let ours = ["types", "exchange", "log", "settings", "secrets", "http", "kv", "blobs"];
    if ours.iter().any(|interface| name == interface_name(interface)) {
        return Ok(());
    }
    let hint = if name.starts_with("wasi:sockets") || name.starts_with("wasi:http") {
        ": plugins reach the network through tidegate:plugin/http, under the operator's grants"
    } else if name.starts_with("wasi:filesystem") {
        ": plugins have no files; tidegate:plugin/kv and tidegate:plugin/blobs remember things"
    } else {
        ""
    };
    let name = crate::capability::log::escape(name, 200);
    Err(Refusal::UnknownImport { name, hint })
}

fn check_version(name: &str) -> Result<(), Refusal> {
    let Some(rest) = name.strip_prefix(INTERFACE).filter(|rest| rest.starts_with('/')) else {
        return Ok(());
    };
    match rest.split_once('@') {
        Some((_, VERSION)) => Ok(()),
        _ => Err(Refusal::UnknownVersion { found: crate::capability::log::escape(name, 200) }),
    }
}

#[cfg(test)]
mod tests {
    use super::{Refusal, check_import, inspect};

    #[test]
    fn what_is_no_component_is_refused_by_what_it_is() {
        assert_eq!(inspect(b"hello", 10), Err(Refusal::NotWasm));
        assert_eq!(inspect(b"", 10), Err(Refusal::NotWasm));
        assert_eq!(inspect(b"\0asm\x01\0\0\0", 10), Err(Refusal::CoreModule));
        assert_eq!(inspect(&[0; 11], 10), Err(Refusal::TooLarge { size: 11, limit: 10 }));
        assert_eq!(inspect(b"\0asm\x0d\0\x01\0", 10), Err(Refusal::NoInterface));
        assert!(matches!(inspect(b"\0asm\x0d\0\x01\0\xff", 10), Err(Refusal::Malformed(_))));
    }

    #[test]
    fn imports_are_refused_by_name() {
        for name in ["wasi:io/streams@0.2.6", "wasi:cli/stdout@0.2.0", "tidegate:plugin/kv@0.1.0"] {
            assert_eq!(check_import(name), Ok(()), "{name}");
        }
        let refused = check_import("wasi:sockets/tcp@0.2.6").unwrap_err().to_string();
        assert!(refused.starts_with("it imports wasi:sockets/tcp@0.2.6, which"), "{refused}");
        let version = check_import("tidegate:plugin/kv@0.2.0").unwrap_err().to_string();
        assert!(version.contains("kv@0.2.0") && version.contains("plugin@0.1.0"), "{version}");
        assert!(check_import("wasi:io/streams@0.3.0").is_err());
        assert!(check_import("tidegate:plugin/telepathy@0.1.0").is_err());
    }
}
