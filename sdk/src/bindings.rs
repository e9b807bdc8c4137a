//! What `wit-bindgen` makes of `wit/plugin-0.1`, and nothing else.
//!
//! The imports are one world: the linker drops what a plugin does not call. Each exported interface
//! is a world of its own, so that a component exports only what [`export!`](crate::export) names.
//! Plugins use the names at the crate's root; this module is public for `export!`, and for guests
//! that must misbehave on purpose.
#![allow(
    missing_docs,
    unreachable_pub,
    unsafe_code,
    unused_qualifications,
    clippy::all,
    reason = "generated code; what plugins see of it is documented where it is re-exported"
)]

/// The host's functions and the words that all interfaces share.
pub mod host {
    wit_bindgen::generate!({
        path: "../wit/plugin-0.1",
        inline: "
            package tidegate:sdk-host;
            world host {
                import tidegate:plugin/types@0.1.0;
                import tidegate:plugin/exchange@0.1.0;
                import tidegate:plugin/log@0.1.0;
                import tidegate:plugin/settings@0.1.0;
                import tidegate:plugin/secrets@0.1.0;
                import tidegate:plugin/http@0.1.0;
                import tidegate:plugin/kv@0.1.0;
                import tidegate:plugin/blobs@0.1.0;
            }
        ",
        generate_all,
        generate_unused_types: true,
        additional_derives: [PartialEq],
    });
}

pub mod channel {
    wit_bindgen::generate!({
        path: "../wit/plugin-0.1",
        inline: "package tidegate:sdk-channel; world channel-export { export tidegate:plugin/channel@0.1.0; }",
        with: {
            "tidegate:plugin/types@0.1.0": crate::bindings::host::tidegate::plugin::types,
            "tidegate:plugin/exchange@0.1.0": crate::bindings::host::tidegate::plugin::exchange,
        },
        generate_all,
        generate_unused_types: true,
        additional_derives: [PartialEq],
        pub_export_macro: true,
        export_macro_name: "export_channel",
    });
}

pub mod integration {
    wit_bindgen::generate!({
        path: "../wit/plugin-0.1",
        inline: "package tidegate:sdk-integration; world integration-export { export tidegate:plugin/integration@0.1.0; }",
        with: {
            "tidegate:plugin/types@0.1.0": crate::bindings::host::tidegate::plugin::types,
            "tidegate:plugin/exchange@0.1.0": crate::bindings::host::tidegate::plugin::exchange,
        },
        generate_all,
        generate_unused_types: true,
        additional_derives: [PartialEq],
        pub_export_macro: true,
        export_macro_name: "export_integration",
    });
}

pub mod lifecycle {
    wit_bindgen::generate!({
        path: "../wit/plugin-0.1",
        inline: "package tidegate:sdk-lifecycle; world lifecycle-export { export tidegate:plugin/lifecycle@0.1.0; }",
        with: {
            "tidegate:plugin/types@0.1.0": crate::bindings::host::tidegate::plugin::types,
        },
        generate_all,
        generate_unused_types: true,
        additional_derives: [PartialEq],
        pub_export_macro: true,
        export_macro_name: "export_lifecycle",
    });
}

pub mod schedule {
    wit_bindgen::generate!({
        path: "../wit/plugin-0.1",
        inline: "package tidegate:sdk-schedule; world schedule-export { export tidegate:plugin/schedule@0.1.0; }",
        with: {
            "tidegate:plugin/types@0.1.0": crate::bindings::host::tidegate::plugin::types,
            "tidegate:plugin/exchange@0.1.0": crate::bindings::host::tidegate::plugin::exchange,
        },
        generate_all,
        generate_unused_types: true,
        additional_derives: [PartialEq],
        pub_export_macro: true,
        export_macro_name: "export_schedule",
    });
}

pub mod choices {
    wit_bindgen::generate!({
        path: "../wit/plugin-0.1",
        inline: "package tidegate:sdk-choices; world choices-export { export tidegate:plugin/choices@0.1.0; }",
        with: {
            "tidegate:plugin/types@0.1.0": crate::bindings::host::tidegate::plugin::types,
        },
        generate_all,
        generate_unused_types: true,
        additional_derives: [PartialEq],
        pub_export_macro: true,
        export_macro_name: "export_choices",
    });
}

pub mod identity {
    wit_bindgen::generate!({
        path: "../wit/plugin-0.1",
        inline: "package tidegate:sdk-identity; world identity-export { export tidegate:plugin/identity@0.1.0; }",
        generate_all,
        generate_unused_types: true,
        additional_derives: [PartialEq],
        pub_export_macro: true,
        export_macro_name: "export_identity",
    });
}
