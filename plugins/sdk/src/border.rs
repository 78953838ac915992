//! The author's side of the border: what `export!` puts into a file, and what turns the contract's values into the
//! traits' and back. Authors never see it.
//!
//! Unsafe code of the SDK stands here alone. It believes the host what the header says it does: that what is borrowed
//! is there for the call, that one call is made at a time, and that an instance is one of ours. Shapes and texts are
//! checked all the same, by `tidings_abi`.

mod callback;
mod content;
mod credential_source;
mod entry;
pub(crate) mod host;
mod http_transport;
mod instance;
mod note;
pub(crate) mod panics;
mod renderer;
mod token_provider;
#[cfg(feature = "tracing")]
mod tracing;
mod transport;
mod values;

pub use entry::enter;
pub use note::{note, roles};
pub use tidings_abi::v1::{Host, Note, Plugin as Table};

/// Makes this crate a plugin file: with `crate-type = ["cdylib"]` it has the note and the one function that Tidings
/// looks for.
///
/// The name and the roles stand here a second time because the note is read before anything of the file runs. If they
/// are not the plugin's, the file says so when it is loaded, and is not used.
///
/// ```ignore
/// tidings_sdk::export!(name: "acme", roles: [http_transport], plugin: plugin());
/// ```
#[macro_export]
macro_rules! export {
    (name: $name:literal, roles: [$($role:ident),+ $(,)?], plugin: $plugin:expr $(,)?) => {
        #[cfg(panic = "abort")]
        compile_error!("a plugin file needs panic = \"unwind\": with \"abort\" a panic would end the whole engine");

        const _: () = {
            #[used]
            #[unsafe(link_section = ".note.tidings")]
            static NOTE: $crate::border::Note = $crate::border::note(
                $name,
                env!("CARGO_PKG_VERSION"),
                0 $(| $crate::border::roles::$role)+,
            );

            #[unsafe(no_mangle)]
            unsafe extern "C" fn tidings_plugin_entry_v1(
                host: *const $crate::border::Host,
                table: *mut *const $crate::border::Table,
            ) -> i32 {
                // A closure, because a function would have a name, and the author's may have the same: `plugin()` would
                // call itself.
                // SAFETY: the host calls this as the contract says.
                unsafe { $crate::border::enter(&NOTE, || $plugin, host, table) }
            }
        };
    };
}
