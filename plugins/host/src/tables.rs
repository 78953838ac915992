//! The tables of functions that a plugin hands over, checked before anything relies on them.

use std::ffi::c_void;

use tidings_abi::v1::{self, Text};
use tidings_abi::{Grows, sized};
use tidings_sdk::Description;

/// The plugin's table, each function there.
#[derive(Clone, Copy)]
pub(crate) struct Tables {
    pub(crate) create: unsafe extern "C" fn(u64, *const v1::Stage, *mut *mut c_void, v1::Problems) -> i32,
    pub(crate) destroy: unsafe extern "C" fn(*mut c_void),
    pub(crate) token_provider: Option<v1::TokenProvider>,
    pub(crate) credential_source: Option<v1::CredentialSource>,
    pub(crate) renderer: Option<v1::Renderer>,
    pub(crate) http_transport: Option<v1::HttpTransport>,
    pub(crate) transport: Option<v1::Transport>,
    pub(crate) callback: Option<v1::Callback>,
}

type GetInterface = unsafe extern "C" fn(Text) -> *const c_void;

impl Tables {
    /// The tables of a plugin with this description. Calls into the plugin.
    ///
    /// # Errors
    ///
    /// What is missing, to stand behind the file's name.
    ///
    /// # Safety
    ///
    /// `plugin` is what the plugin's entry gave; we are at the border.
    pub(crate) unsafe fn of(plugin: &v1::Plugin, description: &Description) -> Result<Tables, String> {
        let missing = |function: &str| format!("has no function `{function}` in its table; tell its author");
        let get_interface = plugin.get_interface.ok_or_else(|| missing("get_interface"))?;
        let mut tables = Tables {
            create: plugin.create.ok_or_else(|| missing("create"))?,
            destroy: plugin.destroy.ok_or_else(|| missing("destroy"))?,
            token_provider: None,
            credential_source: None,
            renderer: None,
            http_transport: None,
            transport: None,
            callback: None,
        };
        for stage in &description.stages {
            // SAFETY: the caller's word is the one that is asked for, for each.
            unsafe { tables.add(stage.role.name(), get_interface) }?;
        }
        Ok(tables)
    }

    /// # Safety
    ///
    /// As for [`Tables::of`].
    unsafe fn add(&mut self, role: &str, get: GetInterface) -> Result<(), String> {
        let there = |functions: &[(&str, bool)]| match functions.iter().find(|(_, is_there)| !is_there) {
            None => Ok(()),
            Some((name, _)) => Err(format!("has no function `{name}` in its table for {role}; tell its author")),
        };
        // SAFETY: the caller's word is the one that is asked for, for each; the name says which table it is.
        unsafe {
            match role {
                "token_provider" => {
                    let table: v1::TokenProvider = interface(get, v1::ROLE_NAME_TOKEN_PROVIDER)?;
                    there(&[("request", table.request.is_some()), ("read", table.read.is_some())])?;
                    self.token_provider = Some(table);
                }
                "credential_source" => {
                    let table: v1::CredentialSource = interface(get, v1::ROLE_NAME_CREDENTIAL_SOURCE)?;
                    there(&[("admit", table.admit.is_some())])?;
                    self.credential_source = Some(table);
                }
                "renderer" => {
                    let table: v1::Renderer = interface(get, v1::ROLE_NAME_RENDERER)?;
                    there(&[("render", table.render.is_some())])?;
                    self.renderer = Some(table);
                }
                "http_transport" => {
                    let table: v1::HttpTransport = interface(get, v1::ROLE_NAME_HTTP_TRANSPORT)?;
                    there(&[("request", table.request.is_some()), ("read", table.read.is_some())])?;
                    self.http_transport = Some(table);
                }
                "transport" => {
                    let table: v1::Transport = interface(get, v1::ROLE_NAME_TRANSPORT)?;
                    there(&[("submit", table.submit.is_some())])?;
                    self.transport = Some(table);
                }
                "callback" => {
                    let table: v1::Callback = interface(get, v1::ROLE_NAME_CALLBACK)?;
                    there(&[("receive", table.receive.is_some())])?;
                    self.callback = Some(table);
                }
                other => return Err(format!("has a stage of the role {other}, which this engine does not know")),
            }
        }
        Ok(())
    }
}

/// The table of a role.
///
/// # Safety
///
/// As for [`Tables::of`], and `T` is the table of that name.
unsafe fn interface<T: Grows>(get: GetInterface, name: &str) -> Result<T, String> {
    // SAFETY: the caller's word; the text is borrowed for the call.
    let table = unsafe { get(Text::of(name)) };
    if table.is_null() {
        return Err(format!("has no table for {name}, which its description promises; tell its author"));
    }
    // SAFETY: the plugin says by that name that it is such a table, and the contract that it begins with its size.
    unsafe { sized(table.cast::<T>()) }
        .map_err(|error| format!("has a table for {name} that is {error}; tell its author"))
}
