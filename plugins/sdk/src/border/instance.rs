//! Instances: one stage for one app each, and how a call finds its own.

use std::ffi::c_void;

use serde_json::{Map, Value};
use tidings_abi::v1::{self, FAILED, OK, PANICKED, REFUSED};
use tidings_abi::{Misshapen, sized};

use super::content::Content;
use super::transport::Submitter;
use super::values::{Problems, pairs, text};
use super::{host, panics};
use crate::callback::Callback;
use crate::credential::CredentialSource;
use crate::plugin::{Plugin, Stages};
use crate::render::Renderer;
use crate::settings::{App, Settings};
use crate::token::TokenProvider;
use crate::transport::HttpTransport;

/// What the host's `self` points to.
pub(super) struct Instance {
    pub(super) id: u64,
    pub(super) app: App,
    pub(super) stage: Stage,
    /// Of an HTTP transport: what its last message said.
    pub(super) content: Content,
}

/// The stage it is for. A call for another role is refused: the host has mixed its tables up.
pub(super) enum Stage {
    TokenProvider(&'static dyn TokenProvider),
    CredentialSource(&'static dyn CredentialSource),
    Renderer(&'static dyn Renderer),
    HttpTransport(&'static dyn HttpTransport),
    Transport(Submitter),
    Callback(&'static dyn Callback),
}

/// Why a call was not done.
#[derive(Debug)]
pub(super) enum Stop {
    /// The input is at fault: the problems were put.
    Refused,
    /// Something else is: for the log.
    Failed(String),
}

impl From<Misshapen> for Stop {
    fn from(misshapen: Misshapen) -> Stop {
        Stop::Failed(format!("the host sent {misshapen}"))
    }
}

/// The host has mixed its tables up.
pub(super) fn mixed_up() -> Stop {
    Stop::Failed("the host called a role that this instance is not of".to_owned())
}

/// Calls into the instance at `this`, whatever happens there. The status is the contract's.
///
/// # Safety
///
/// `this` is NULL or what [`create`] gave, not destroyed, and no other call uses it meanwhile.
pub(super) unsafe fn call(this: *mut c_void, work: impl FnOnce(&mut Instance) -> Result<(), Stop>) -> i32 {
    // SAFETY: the caller's word.
    let Some(instance) = (unsafe { this.cast::<Instance>().as_mut() }) else {
        return status(0, Some(Err(Stop::Failed("the host called an instance that is NULL".to_owned()))));
    };
    let id = instance.id;
    status(id, panics::caught(id, || work(instance)))
}

/// The contract's number for what a call came to. A failure goes to the log.
pub(super) fn status(instance: u64, done: Option<Result<(), Stop>>) -> i32 {
    match done {
        Some(Ok(())) => OK,
        Some(Err(Stop::Refused)) => REFUSED,
        Some(Err(Stop::Failed(why))) => {
            host::log(instance, v1::LOG_ERROR, &why);
            FAILED
        }
        None => PANICKED,
    }
}

/// Makes an instance of `plugin`.
///
/// # Safety
///
/// `stage` is as for [`sized`], its texts and secrets are there for the call, and so is the sink of `problems`.
pub(super) unsafe fn create(
    plugin: &'static Plugin,
    id: u64,
    stage: *const v1::Stage,
    problems: &Problems,
) -> Result<Box<Instance>, Stop> {
    // SAFETY: the caller's word.
    let (stage, role, name) = unsafe {
        let stage = sized(stage)?;
        (stage, text(stage.role)?, text(stage.stage)?)
    };
    // SAFETY: the caller's word.
    let app = unsafe { app(&stage) }?;
    problems.refuse(&(plugin.check_app)(&app))?;
    let stage = match role {
        v1::ROLE_NAME_TOKEN_PROVIDER => find(&plugin.token_providers, name).map(Stage::TokenProvider),
        v1::ROLE_NAME_CREDENTIAL_SOURCE => find(&plugin.credential_sources, name).map(Stage::CredentialSource),
        v1::ROLE_NAME_RENDERER => find(&plugin.renderers, name).map(Stage::Renderer),
        v1::ROLE_NAME_HTTP_TRANSPORT => find(&plugin.http_transports, name).map(Stage::HttpTransport),
        v1::ROLE_NAME_TRANSPORT => match find(&plugin.transports, name) {
            None => None,
            Some(transport) => {
                let carrier = transport.open(&app).map_err(|violations| problems.put_all(&violations))?;
                Some(Stage::Transport(Submitter::new(transport, carrier)))
            }
        },
        v1::ROLE_NAME_CALLBACK => find(&plugin.callbacks, name).map(Stage::Callback),
        _ => None,
    };
    let stage = stage.ok_or_else(|| {
        Stop::Failed(format!(
            "the host asked for stage `{name}` of role `{role}`, which `{}` does not have",
            plugin.name
        ))
    })?;
    Ok(Box::new(Instance { id, app, stage, content: Content::default() }))
}

fn find<T: ?Sized>(stages: &'static Stages<T>, name: &str) -> Option<&'static T> {
    stages.iter().find(|(stage, _)| *stage == name).map(|(_, stage)| &**stage)
}

/// The app, its secrets among its settings.
///
/// # Safety
///
/// As for [`create`].
unsafe fn app(stage: &v1::Stage) -> Result<App, Stop> {
    // SAFETY: the caller's word.
    let (name, settings, secrets) =
        unsafe { (text(stage.app)?, text(stage.settings)?, pairs(stage.secrets, stage.secret_count)?) };
    let mut settings: Map<String, Value> = match settings {
        "" => Map::new(),
        // The error of serde_json is left out: it may quote what it read.
        json => serde_json::from_str(json)
            .map_err(|_| Stop::Failed("the host sent settings that are no JSON object".to_owned()))?,
    };
    settings.extend(secrets.into_iter().map(|(name, value)| (name.to_owned(), value.into())));
    Ok(App { name: name.to_owned(), settings: Settings::new(settings) })
}
