//! The stages that plugins offer, by the name config uses: `wechat.form_id`.

use std::collections::BTreeMap;
use std::sync::Arc;

use tidings_sdk::{CredentialSource, HttpTransport, Plugin, Setting, TokenProvider};

/// Every plugin and stage there is.
#[derive(Default)]
pub struct Registry {
    plugins: BTreeMap<&'static str, &'static [Setting]>,
    token_providers: BTreeMap<String, Arc<dyn TokenProvider>>,
    credential_sources: BTreeMap<String, Arc<dyn CredentialSource>>,
    transports: BTreeMap<String, Arc<dyn HttpTransport>>,
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.plugins.keys()).finish()
    }
}

impl Registry {
    /// Registers these plugins.
    pub fn new(plugins: impl IntoIterator<Item = Plugin>) -> Registry {
        let mut registry = Registry::default();
        for plugin in plugins {
            let full = |stage: &str| format!("{}.{stage}", plugin.name);
            registry.plugins.insert(plugin.name, plugin.app_settings);
            for (stage, provider) in plugin.token_providers {
                registry.token_providers.insert(full(stage), Arc::from(provider));
            }
            for (stage, source) in plugin.credential_sources {
                registry.credential_sources.insert(full(stage), Arc::from(source));
            }
            for (stage, transport) in plugin.http_transports {
                registry.transports.insert(full(stage), Arc::from(transport));
            }
        }
        registry
    }

    /// What an app of that plugin is configured with.
    pub(crate) fn app_settings(&self, plugin: &str) -> Option<&'static [Setting]> {
        self.plugins.get(plugin).copied()
    }

    pub(crate) fn token_provider(&self, name: &str) -> Option<Arc<dyn TokenProvider>> {
        self.token_providers.get(name).cloned()
    }

    pub(crate) fn credential_source(&self, name: &str) -> Option<Arc<dyn CredentialSource>> {
        self.credential_sources.get(name).cloned()
    }

    pub(crate) fn transport(&self, name: &str) -> Option<Arc<dyn HttpTransport>> {
        self.transports.get(name).cloned()
    }

    /// The plugins, and what each offers, for lists and hints.
    pub fn plugin_names(&self) -> Vec<&'static str> {
        self.plugins.keys().copied().collect()
    }

    pub(crate) fn token_provider_names(&self) -> Vec<&str> {
        self.token_providers.keys().map(String::as_str).collect()
    }

    pub(crate) fn credential_source_names(&self) -> Vec<&str> {
        self.credential_sources.keys().map(String::as_str).collect()
    }

    pub(crate) fn transport_names(&self) -> Vec<&str> {
        self.transports.keys().map(String::as_str).collect()
    }
}
