//! [`export!`](crate::export): from a type with traits to a component with exports.

/// Makes a component of a type: exports `identity` and the interfaces that are named, nothing else.
///
/// ```text
/// tidegate_sdk::export!(Slack: channel, integration; publisher = "tidegate", name = "slack");
/// ```
///
/// The interfaces are `channel` ([`Channel`](crate::Channel)), `integration`
/// ([`Integration`](crate::Integration)), `lifecycle` ([`Lifecycle`](crate::Lifecycle)), `schedule`
/// ([`Schedule`](crate::Schedule)) and `choices` ([`Choices`](crate::Choices)); the type must be in
/// scope by its bare name. Version, licence and homepage are those of the plugin's `Cargo.toml`;
/// without `name`, the package's name is the plugin's.
///
/// On a target that is not WebAssembly the macro exports nothing and only implements
/// [`Identify`](crate::Identify), so that the same crate compiles, links and is tested natively.
#[macro_export]
macro_rules! export {
    ($plugin:ident: $($interface:ident),+; publisher = $publisher:expr) => {
        $crate::export!($plugin: $($interface),+; publisher = $publisher, name = env!("CARGO_PKG_NAME"));
    };
    ($plugin:ident: $($interface:ident),+; publisher = $publisher:expr, name = $name:expr) => {
        impl $crate::Identify for $plugin {
            fn identity() -> $crate::Identity {
                $crate::Identity {
                    publisher: String::from($publisher),
                    name: String::from($name),
                    version: String::from(env!("CARGO_PKG_VERSION")),
                    license: $crate::export::stated(option_env!("CARGO_PKG_LICENSE")),
                    homepage: $crate::export::stated(option_env!("CARGO_PKG_HOMEPAGE")),
                }
            }
        }
        // A name that is not an interface fails on every target, not only in the component.
        const _: () = { $( $crate::__implements!($plugin: $interface); )+ };
        #[cfg(target_family = "wasm")]
        #[allow(unsafe_code, reason = "the exports of a component are raw symbols")]
        const _: () = {
            $crate::bindings::identity::export_identity!(
                $plugin with_types_in $crate::bindings::identity
            );
            $( $crate::__export!($plugin: $interface); )+
        };
    };
}

/// The exports of one interface.
#[doc(hidden)]
#[macro_export]
macro_rules! __export {
    ($plugin:ident: channel) => {
        $crate::bindings::channel::export_channel!($plugin with_types_in $crate::bindings::channel);
    };
    ($plugin:ident: integration) => {
        $crate::bindings::integration::export_integration!(
            $plugin with_types_in $crate::bindings::integration
        );
    };
    ($plugin:ident: lifecycle) => {
        $crate::bindings::lifecycle::export_lifecycle!(
            $plugin with_types_in $crate::bindings::lifecycle
        );
    };
    ($plugin:ident: schedule) => {
        $crate::bindings::schedule::export_schedule!(
            $plugin with_types_in $crate::bindings::schedule
        );
    };
    ($plugin:ident: choices) => {
        $crate::bindings::choices::export_choices!($plugin with_types_in $crate::bindings::choices);
    };
}

/// The trait behind one interface's name.
#[doc(hidden)]
#[macro_export]
macro_rules! __implements {
    ($plugin:ident: channel) => {
        $crate::export::channel::<$plugin>()
    };
    ($plugin:ident: integration) => {
        $crate::export::integration::<$plugin>()
    };
    ($plugin:ident: lifecycle) => {
        $crate::export::lifecycle::<$plugin>()
    };
    ($plugin:ident: schedule) => {
        $crate::export::schedule::<$plugin>()
    };
    ($plugin:ident: choices) => {
        $crate::export::choices::<$plugin>()
    };
    ($plugin:ident: $other:ident) => {
        compile_error!(concat!(
            "expected channel, integration, lifecycle, schedule or choices, found ",
            stringify!($other)
        ))
    };
}

/// What Cargo says of a package; an empty string is its way to say nothing.
#[doc(hidden)]
#[must_use]
pub fn stated(value: Option<&str>) -> Option<String> {
    value.filter(|text| !text.is_empty()).map(String::from)
}

#[doc(hidden)]
pub const fn channel<T: crate::Channel>() {}
#[doc(hidden)]
pub const fn integration<T: crate::Integration>() {}
#[doc(hidden)]
pub const fn lifecycle<T: crate::Lifecycle>() {}
#[doc(hidden)]
pub const fn schedule<T: crate::Schedule>() {}
#[doc(hidden)]
pub const fn choices<T: crate::Choices>() {}
