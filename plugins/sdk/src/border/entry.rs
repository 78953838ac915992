//! The one function a file exports, and the table it gives.

use std::ffi::c_void;
use std::sync::OnceLock;

use tidings_abi::empty;
use tidings_abi::v1::{self, Text};

use super::instance::{self, Instance, Stop, status};
use super::values::{Problems, text};
use super::{callback, credential_source, host, http_transport, note, panics, renderer, token_provider, transport};
use crate::description::{Description, Role};
use crate::plugin::Plugin;

/// The plugin of this file and its table: made at the first entry, for ever.
struct File {
    plugin: Plugin,
    table: v1::Plugin,
}

// SAFETY: all that is not `Send` and `Sync` of itself are the pointers of the table: to functions, and to a leaked text.
unsafe impl Send for File {}
// SAFETY: as above; and nothing of it is changed after it was made.
unsafe impl Sync for File {}

static FILE: OnceLock<File> = OnceLock::new();

/// What `tidings_plugin_entry_v1` does: takes the host's table and gives the plugin's.
///
/// # Safety
///
/// `host` is as for [`tidings_abi::sized`], its functions are as the header says and stay so for ever, and `table` is
/// NULL or can be written.
pub unsafe fn enter(
    note: &'static v1::Note,
    plugin: fn() -> Plugin,
    host: *const v1::Host,
    table: *mut *const v1::Plugin,
) -> i32 {
    // SAFETY: the caller's word.
    if table.is_null() || !unsafe { host::take(host) } {
        return v1::FAILED;
    }
    let done = panics::caught(0, || {
        if FILE.get().is_none() {
            panics::tell_host();
            #[cfg(feature = "tracing")]
            super::tracing::to_host();
            let file = file(note, plugin()).map_err(Stop::Failed)?;
            #[cfg(feature = "runtime")]
            crate::runtime::NAME_OF_FILE.get_or_init(|| file.plugin.name);
            FILE.get_or_init(|| file);
        }
        let file = FILE.get().expect("it was made above");
        // SAFETY: not NULL, and the caller says that it can be written.
        unsafe { table.write_unaligned(&raw const file.table) };
        Ok(())
    });
    status(0, done)
}

fn file(note: &v1::Note, plugin: Plugin) -> Result<File, String> {
    let description = Description::of(&plugin);
    agree(note, &description)?;
    let json = description.to_json();
    // What the host will read, read once here: the author hears of it in words that name the plugin.
    Description::parse(&json).map_err(|error| format!("the plugin `{}` {error}", plugin.name))?;
    let table = v1::Plugin {
        minor: v1::ABI_MINOR,
        description: Text::of(json.leak()),
        create: Some(create),
        destroy: Some(destroy),
        get_interface: Some(get_interface),
        ..empty()
    };
    Ok(File { plugin, table })
}

/// The note was written by hand and the plugin is what it is: they must say the same.
fn agree(note: &v1::Note, description: &Description) -> Result<(), String> {
    for (what, noted, said) in [
        ("name", note::text(&note.name), description.name),
        ("version", note::text(&note.version), description.version),
    ] {
        if noted != said {
            return Err(format!("`export!` gives the {what} {noted:?}, and the plugin gives {said:?}"));
        }
    }
    let said = description.stages.iter().fold(0, |roles, stage| roles | bit(&stage.role));
    if note.roles != said {
        return Err(format!(
            "`export!` of `{}` gives the roles {}, and the plugin has {}",
            description.name,
            role_names(note.roles),
            role_names(said)
        ));
    }
    Ok(())
}

fn bit(role: &Role) -> u32 {
    match role {
        Role::TokenProvider { .. } => v1::ROLE_TOKEN_PROVIDER,
        Role::CredentialSource(_) => v1::ROLE_CREDENTIAL_SOURCE,
        Role::Renderer => v1::ROLE_RENDERER,
        Role::HttpTransport(_) => v1::ROLE_HTTP_TRANSPORT,
        Role::Transport(_) => v1::ROLE_TRANSPORT,
        Role::Callback => v1::ROLE_CALLBACK,
    }
}

fn role_names(roles: u32) -> String {
    let names = [
        (v1::ROLE_TOKEN_PROVIDER, "token_provider"),
        (v1::ROLE_CREDENTIAL_SOURCE, "credential_source"),
        (v1::ROLE_RENDERER, "renderer"),
        (v1::ROLE_HTTP_TRANSPORT, "http_transport"),
        (v1::ROLE_TRANSPORT, "transport"),
        (v1::ROLE_CALLBACK, "callback"),
    ];
    let names: Vec<&str> = names.into_iter().filter(|(bit, _)| roles & bit != 0).map(|(_, name)| name).collect();
    format!("[{}]", names.join(", "))
}

unsafe extern "C" fn create(id: u64, stage: *const v1::Stage, this: *mut *mut c_void, problems: v1::Problems) -> i32 {
    let done = panics::caught(id, || {
        let file = FILE.get().ok_or_else(|| Stop::Failed("the host made an instance before it entered".to_owned()))?;
        if this.is_null() {
            return Err(Stop::Failed("the host gave no place for the instance".to_owned()));
        }
        let problems = Problems(problems);
        // SAFETY: the host's word, by the header: what it lends is there for the call.
        let instance = unsafe { instance::create(&file.plugin, id, stage, &problems) }?;
        // SAFETY: not NULL, and the host says that it can be written.
        unsafe { this.write_unaligned(Box::into_raw(instance).cast()) };
        Ok(())
    });
    status(id, done)
}

unsafe extern "C" fn destroy(this: *mut c_void) {
    if this.is_null() {
        return;
    }
    // SAFETY: the host's word: it is of `create`, and this is its last call.
    let instance = unsafe { Box::from_raw(this.cast::<Instance>()) };
    let id = instance.id;
    // A panic in there was told; what is left of the instance is dropped all the same.
    panics::caught(id, || drop(instance));
}

unsafe extern "C" fn get_interface(role: Text) -> *const c_void {
    // SAFETY: the host's word: the text is there for the call.
    let (Some(file), Ok(role)) = (FILE.get(), unsafe { text(role) }) else { return std::ptr::null() };
    let plugin = &file.plugin;
    match role {
        v1::ROLE_NAME_TOKEN_PROVIDER if !plugin.token_providers.is_empty() => pointer(&token_provider::TABLE),
        v1::ROLE_NAME_CREDENTIAL_SOURCE if !plugin.credential_sources.is_empty() => pointer(&credential_source::TABLE),
        v1::ROLE_NAME_RENDERER if !plugin.renderers.is_empty() => pointer(&renderer::TABLE),
        v1::ROLE_NAME_HTTP_TRANSPORT if !plugin.http_transports.is_empty() => pointer(&http_transport::TABLE),
        v1::ROLE_NAME_TRANSPORT if !plugin.transports.is_empty() => pointer(&transport::TABLE),
        v1::ROLE_NAME_CALLBACK if !plugin.callbacks.is_empty() => pointer(&callback::TABLE),
        _ => std::ptr::null(),
    }
}

fn pointer<T>(table: &'static T) -> *const c_void {
    std::ptr::from_ref(table).cast()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::{Delivery, HttpTransport, TransportRules};
    use crate::{App, Outcome, Request, Response};

    struct Null;

    impl HttpTransport for Null {
        fn rules(&self) -> TransportRules {
            TransportRules::default()
        }
        fn request(&self, _delivery: &Delivery<'_>) -> Result<Request, String> {
            Err("never".into())
        }
        fn read(&self, _app: &App, _response: &Response<'_>) -> Outcome {
            Outcome::Accepted { provider_id: None }
        }
    }

    #[test]
    fn a_note_that_is_not_the_plugins_is_refused_in_words() {
        let plugin = || Plugin::new("acme", "1.0.0").http_transport("send", Null);
        let http = note::roles::http_transport;
        assert!(file(&note::note("acme", "1.0.0", http), plugin()).is_ok());
        for (name, version, roles, part) in [
            ("acne", "1.0.0", http, "the name \"acne\", and the plugin gives \"acme\""),
            ("acme", "1.0.1", http, "the version \"1.0.1\""),
            ("acme", "1.0.0", http | note::roles::callback, "[http_transport, callback], and the plugin has [http_t"),
        ] {
            let error = file(&note::note(name, version, roles), plugin()).err().unwrap();
            assert!(error.contains(part), "{error}");
        }
        let twice = file(&note::note("acme", "1.0.0", http), plugin().http_transport("send", Null)).err().unwrap();
        assert!(twice.contains("the plugin `acme` has two stages `send`"), "{twice}");
    }
}
