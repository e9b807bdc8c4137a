//! Compiled code, kept between starts.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{Error, Write};
use std::path::{Path, PathBuf};
use wasmtime::Engine;
use wasmtime::component::Component;

/// A directory of compiled code that nobody but this host's user can enter.
#[derive(Debug)]
pub(super) struct Cache {
    directory: PathBuf,
    /// Which engines can use what this one compiles.
    compatibility: u64,
}

impl Cache {
    /// Makes the directory, or takes it over; `None` when it cannot be made private, and then
    /// everything is compiled at every start.
    pub(super) fn open(engine: &Engine, directory: &Path) -> Option<Self> {
        if let Err(error) = make_private(directory) {
            tracing::warn!(
                path = %directory.display(), %error,
                "no private directory for compiled code; components are compiled at every start"
            );
            return None;
        }
        let mut hasher = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        Some(Self { directory: directory.to_owned(), compatibility: hasher.finish() })
    }

    fn path(&self, digest: &str) -> PathBuf {
        self.directory.join(format!("{digest}-{:016x}.cwasm", self.compatibility))
    }

    /// The compiled code of a component. A file that cannot be used is taken away.
    #[allow(unsafe_code, reason = "see the safety comment")]
    pub(super) fn get(&self, engine: &Engine, digest: &str) -> Option<Component> {
        let path = self.path(digest);
        if !path.exists() {
            return None;
        }
        // SAFETY: the file must be what `Component::serialize` of a compatible engine wrote, and
        // must not change while it is mapped. It lies in a directory that `make_private` gave to
        // this host's user alone before anything was read from it; `keep` wrote it under another
        // name, synced it and renamed it when it was complete; it is named after the component's
        // digest and the engine's compatibility hash, and is never written again, only unlinked.
        // Nothing that comes from outside ever gets there.
        match unsafe { Component::deserialize_file(engine, &path) } {
            Ok(component) => Some(component),
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "compiled code that cannot be used is dropped");
                // It is made anew either way.
                drop(std::fs::remove_file(&path));
                None
            }
        }
    }

    /// Keeps the compiled code of a component.
    ///
    /// # Errors
    /// It cannot be written.
    pub(super) fn keep(&self, digest: &str, component: &Component) -> std::io::Result<()> {
        let bytes = component.serialize().map_err(Error::other)?;
        let temporary = self.directory.join(format!(".{}", crate::clock::new_id()));
        let written =
            write(&temporary, &bytes).and_then(|()| std::fs::rename(&temporary, self.path(digest)));
        if written.is_err() {
            // The first error is the one to tell.
            drop(std::fs::remove_file(&temporary));
        }
        written
    }
}

fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = std::fs::File::create_new(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// A directory that only this process's user can enter, and could write to before.
#[cfg(unix)]
fn make_private(directory: &Path) -> std::io::Result<()> {
    use std::io::ErrorKind;
    use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};

    let refused = |why: &str| Err(Error::new(ErrorKind::PermissionDenied, why));
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    let found = std::fs::metadata(directory)?;
    if found.mode() & 0o022 != 0 {
        return refused("others may write there");
    }
    // A file of our own says who we are.
    let probe = directory.join(format!(".{}", crate::clock::new_id()));
    let ours = std::fs::File::create_new(&probe)?.metadata()?.uid() == found.uid();
    std::fs::remove_file(&probe)?;
    if !ours {
        return refused("it belongs to another user");
    }
    if found.mode() & 0o077 != 0 {
        std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o700))?;
    }
    Ok(())
}

#[cfg(not(unix))]
fn make_private(directory: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(directory)
}
