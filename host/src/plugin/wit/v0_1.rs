//! Version 0.1 of the plugin interface: generated bindings, and nothing else.

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
