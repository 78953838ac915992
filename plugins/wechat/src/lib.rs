//! WeChat as a plugin: tokens, credentials, the three send calls, and what WeChat pushes.
//!
//! Everything here is pure: requests are built from values and answers are read into values. The engine owns sockets,
//! time and retries. `wechat.md` of the shared reference is the specification; a § in a comment is one of its sections. The modules
//! in reading order:
//!
//! | Module | Subject |
//! |---|---|
//! | `token` | `access_token`: how an app gets its token |
//! | `credentials` | `form_id`, `prepay_id`, `subscription`: what a posted permit is worth |
//! | `subscribe` | the subscription message of mini-programs |
//! | `official_template` | the template message of service accounts |
//! | `template` | the template message of mini-programs, retired by WeChat on 2020-01-10 |
//! | `callback` | what WeChat pushes to us: grants, refusals, receipts |
//! | `message` | what the sends share: the wire, and how an answer is read |
//! | `values` | what WeChat accepts in a template's slots |
//! | `codes` | the one table from error code to outcome |

mod token;

mod credentials;

mod subscribe;

mod official_template;

mod template;

mod callback;

mod message;

mod values;

mod codes;

#[cfg(test)]
mod testing;

use tidings_sdk::{Plugin, Setting, SettingKind};

const APP_SETTINGS: &[Setting] = &[
    Setting::text("appid", "the AppID of the mini-program or service account, as its console shows it").required(),
    Setting::of("secret", SettingKind::Secret, "the AppSecret that belongs to the appid").required(),
    Setting::of(
        "token_endpoint",
        SettingKind::Choice(&[token::STABLE, token::CLASSIC]),
        "`stable` shares one token among all who ask; with `token` each fetch ends the token that others hold",
    )
    .default(token::STABLE),
    Setting::of("base_url", SettingKind::Url, "where WeChat answers; another host of its, a proxy, or the sandbox")
        .default(message::BASE_URL),
    Setting::number(
        "fetches_per_day",
        "token fetches this engine may make a day, where it should be fewer than WeChat allows",
    ),
    Setting::of(
        callback::CALLBACK_TOKEN,
        SettingKind::Secret,
        "the Token of the message push, as WeChat's console has it; with it the app takes callbacks",
    )
    .example("tidings2026"),
    Setting::of(
        callback::CALLBACK_KEY,
        SettingKind::Secret,
        "the EncodingAESKey of the message push: 43 characters; with it only encrypted pushes are taken",
    )
    .example("abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"),
    Setting::of(
        callback::CALLBACK_MODE,
        SettingKind::Choice(callback::MODES),
        "with a key: `secure` takes encrypted pushes only, `compatible` plain ones too",
    )
    .default(callback::SECURE),
];

/// The plugin `wechat`: token provider `access_token`; credential sources `form_id`, `prepay_id`, `subscription`;
/// transports `subscribe`, `official_template`, `template`; callback `push`.
pub fn plugin() -> Plugin {
    Plugin::new("wechat", env!("CARGO_PKG_VERSION"))
        .app_settings(APP_SETTINGS)
        .check_app(callback::check)
        .token_provider("access_token", token::AccessToken)
        .credential_source(credentials::FORM_ID, credentials::FormId)
        .credential_source(credentials::PREPAY_ID, credentials::PrepayId)
        .credential_source(credentials::SUBSCRIPTION, credentials::Subscription)
        .http_transport("subscribe", subscribe::Subscribe)
        .http_transport("official_template", official_template::OfficialTemplate)
        .http_transport("template", template::Template)
        .callback(callback::PUSH, callback::Pushes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names<T>(stages: &[(&'static str, T)]) -> Vec<&'static str> {
        stages.iter().map(|(name, _)| *name).collect()
    }

    #[test]
    fn the_plugin_offers_every_stage_by_its_name() {
        let plugin = plugin();
        assert_eq!(plugin.name, "wechat");
        assert_eq!(names(&plugin.token_providers), ["access_token"]);
        assert_eq!(names(&plugin.credential_sources), ["form_id", "prepay_id", "subscription"]);
        assert_eq!(names(&plugin.http_transports), ["subscribe", "official_template", "template"]);
        assert_eq!(names(&plugin.callbacks), ["push"]);
    }

    #[test]
    fn every_credential_a_transport_names_is_a_source_of_this_plugin() {
        let plugin = plugin();
        let sources = names(&plugin.credential_sources);
        for (name, transport) in &plugin.http_transports {
            for credential in transport.rules().credentials {
                assert!(sources.contains(credential), "`{name}` wants `{credential}`");
            }
        }
    }

    #[test]
    fn an_app_needs_its_appid_and_secret_and_nothing_else() {
        let required: Vec<_> = APP_SETTINGS.iter().filter(|setting| setting.required).map(|it| it.name).collect();
        assert_eq!(required, ["appid", "secret"]);
        let defaults: Vec<_> =
            APP_SETTINGS.iter().filter_map(|setting| Some((setting.name, setting.default?))).collect();
        let expected = [("token_endpoint", "stable"), ("base_url", "https://api.weixin.qq.com")];
        assert_eq!(defaults, [&expected[..], &[("callback_mode", "secure")]].concat());
    }

    #[test]
    fn what_both_sides_alone_may_know_is_a_secret() {
        let secrets: Vec<_> =
            APP_SETTINGS.iter().filter(|setting| setting.kind == SettingKind::Secret).map(|it| it.name).collect();
        assert_eq!(secrets, ["secret", "callback_token", "callback_key"]);
    }

    #[test]
    fn every_transport_requires_a_template_id_and_takes_it_for_the_scope() {
        for (name, transport) in &plugin().http_transports {
            let setting = transport.rules().template_settings.iter().find(|setting| setting.name == "template_id");
            assert!(setting.is_some_and(|it| it.required && it.kind == SettingKind::Text), "`{name}`");
            assert_eq!(transport.rules().scope_key, Some("template_id"), "`{name}`");
        }
    }
}
