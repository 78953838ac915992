//! A plugin: its name, what an app of it is configured with, and the stages it offers.

use std::fmt;

use crate::callback::Callback;
use crate::credential::CredentialSource;
use crate::render::Renderer;
use crate::settings::{App, Setting};
use crate::token::TokenProvider;
use crate::transport::{HttpTransport, Transport, Violation};

/// Stages of one role by name.
pub type Stages<T> = Vec<(&'static str, Box<T>)>;

/// Everything a plugin offers. Stages are named inside the plugin: `form_id` of plugin `wechat` is `wechat.form_id`
/// in config.
pub struct Plugin {
    /// The plugin's name: the first half of every stage name. Lower case, digits and `-`; at most 31 bytes.
    pub name: &'static str,
    /// Its version, for people; at most 31 bytes.
    pub version: &'static str,
    /// What an app of this plugin is configured with.
    pub app_settings: &'static [Setting],
    /// What is wrong with an app whose settings are each right: they may not fit together.
    pub check_app: fn(&App) -> Vec<Violation>,
    /// Token providers.
    pub token_providers: Stages<dyn TokenProvider>,
    /// Credential sources.
    pub credential_sources: Stages<dyn CredentialSource>,
    /// Renderers.
    pub renderers: Stages<dyn Renderer>,
    /// Transports whose provider speaks HTTP.
    pub http_transports: Stages<dyn HttpTransport>,
    /// Transports that do their own talking.
    pub transports: Stages<dyn Transport>,
    /// Readers of what providers push to us.
    pub callbacks: Stages<dyn Callback>,
}

impl Plugin {
    /// A plugin that offers nothing yet.
    pub fn new(name: &'static str, version: &'static str) -> Plugin {
        Plugin {
            name,
            version,
            app_settings: &[],
            check_app: |_| Vec::new(),
            token_providers: Vec::new(),
            credential_sources: Vec::new(),
            renderers: Vec::new(),
            http_transports: Vec::new(),
            transports: Vec::new(),
            callbacks: Vec::new(),
        }
    }

    /// Says what an app is configured with.
    pub fn app_settings(self, app_settings: &'static [Setting]) -> Plugin {
        Plugin { app_settings, ..self }
    }

    /// Says what is wrong with settings that do not fit together.
    pub fn check_app(self, check_app: fn(&App) -> Vec<Violation>) -> Plugin {
        Plugin { check_app, ..self }
    }

    /// Offers a token provider.
    pub fn token_provider(mut self, name: &'static str, stage: impl TokenProvider + 'static) -> Plugin {
        self.token_providers.push((name, Box::new(stage)));
        self
    }

    /// Offers a credential source.
    pub fn credential_source(mut self, name: &'static str, stage: impl CredentialSource + 'static) -> Plugin {
        self.credential_sources.push((name, Box::new(stage)));
        self
    }

    /// Offers a renderer.
    pub fn renderer(mut self, name: &'static str, stage: impl Renderer + 'static) -> Plugin {
        self.renderers.push((name, Box::new(stage)));
        self
    }

    /// Offers a transport whose provider speaks HTTP.
    pub fn http_transport(mut self, name: &'static str, stage: impl HttpTransport + 'static) -> Plugin {
        self.http_transports.push((name, Box::new(stage)));
        self
    }

    /// Offers a transport that does its own talking.
    pub fn transport(mut self, name: &'static str, stage: impl Transport + 'static) -> Plugin {
        self.transports.push((name, Box::new(stage)));
        self
    }

    /// Offers a reader of what the provider pushes.
    pub fn callback(mut self, name: &'static str, stage: impl Callback + 'static) -> Plugin {
        self.callbacks.push((name, Box::new(stage)));
        self
    }
}

impl fmt::Debug for Plugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plugin").field("name", &self.name).field("version", &self.version).finish_non_exhaustive()
    }
}
