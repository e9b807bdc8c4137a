//! Version 0.1 of the plugin interface: generated bindings; [`convert`] and [`host`] beside them.

pub mod convert;
mod host;

#[allow(missing_docs, unused_qualifications, clippy::all, reason = "generated")]
mod bindings {
    wasmtime::component::bindgen!({
        path: "../wit/plugin-0.1",
        inline: "
            package tidegate:host;

            world everything {
                include tidegate:plugin/integration-imports@0.1.0;
                export tidegate:plugin/identity@0.1.0;
                export tidegate:plugin/channel@0.1.0;
                export tidegate:plugin/integration@0.1.0;
                export tidegate:plugin/lifecycle@0.1.0;
                export tidegate:plugin/schedule@0.1.0;
                export tidegate:plugin/choices@0.1.0;
            }
        ",
        world: "tidegate:host/everything",
        imports: {
            "tidegate:plugin/kv": async | trappable,
            "tidegate:plugin/blobs": async | trappable,
            "tidegate:plugin/http": async | trappable,
            default: trappable,
        },
        exports: { default: async },
    });
}

pub use bindings::exports::tidegate::plugin as exports;
pub use bindings::tidegate::plugin as imports;

use super::super::state::GuestState;
use wasmtime::component::{HasSelf, Linker};

/// Offers every host interface to guests.
///
/// # Errors
/// Two interfaces have one name.
pub fn add_to_linker(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    imports::types::add_to_linker::<_, HasSelf<_>>(linker, |state| state)?;
    imports::exchange::add_to_linker::<_, HasSelf<_>>(linker, |state| state)?;
    imports::log::add_to_linker::<_, HasSelf<_>>(linker, |state| state)?;
    imports::settings::add_to_linker::<_, HasSelf<_>>(linker, |state| state)?;
    imports::secrets::add_to_linker::<_, HasSelf<_>>(linker, |state| state)?;
    imports::http::add_to_linker::<_, HasSelf<_>>(linker, |state| state)?;
    imports::kv::add_to_linker::<_, HasSelf<_>>(linker, |state| state)?;
    imports::blobs::add_to_linker::<_, HasSelf<_>>(linker, |state| state)
}
