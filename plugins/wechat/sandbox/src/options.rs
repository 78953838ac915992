//! What a sandbox is started with: apps, quotas, templates, faults, and a switch for each behaviour nobody has confirmed.

use serde::Deserialize;

use crate::callback::Callback;
use crate::faults::Fault;
use crate::limits::LOG_DELIVERIES_MAX;
use crate::values::CharacterUnit;

/// The appid of the app a sandbox has when none is named.
pub const DEFAULT_APPID: &str = "wx0123456789abcdef";
/// The secret of that app.
pub const DEFAULT_SECRET: &str = "sandbox-secret";

/// Everything a sandbox can be told at its start. The default is one app of both kinds, no faults, documented quotas.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// The accounts. Control calls that name no appid mean the first.
    pub apps: Vec<App>,
    /// Seeds the faults: the same seed, rules and order of calls give the same faults.
    pub seed: u64,
    /// What WeChat does where the facts sheet does not know.
    pub unknowns: Unknowns,
    /// Call quotas, per app.
    pub quotas: Quotas,
    /// Templates that exist; empty means every template_id that is not empty exists.
    pub templates: Vec<Template>,
    /// Pages that exist in the released mini-program; empty means every page does.
    pub pages: Vec<String>,
    /// Fault rules in force from the start.
    pub faults: Vec<Fault>,
    /// The content type of provider replies (`wechat.md §0` has seen both).
    pub content_type: ContentType,
    /// How many deliveries the log holds; the oldest is dropped and counted.
    pub log_deliveries_max: usize,
    /// Where events are pushed; nowhere if it is not given.
    pub callback: Option<Callback>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            apps: vec![App::default()],
            seed: 0,
            unknowns: Unknowns::default(),
            quotas: Quotas::default(),
            templates: Vec::new(),
            pages: Vec::new(),
            faults: Vec::new(),
            content_type: ContentType::Json,
            log_deliveries_max: LOG_DELIVERIES_MAX,
            callback: None,
        }
    }
}

/// One account.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct App {
    /// Its appid.
    pub appid: String,
    /// Its AppSecret.
    pub secret: String,
    /// Which of the sending endpoints it may call.
    #[serde(default)]
    pub kind: AppKind,
}

impl Default for App {
    fn default() -> Self {
        Self { appid: DEFAULT_APPID.to_owned(), secret: DEFAULT_SECRET.to_owned(), kind: AppKind::Both }
    }
}

/// What sort of account an app is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AppKind {
    /// May call the mini-program endpoints; 48001 at the service-account one.
    MiniProgram,
    /// May call the service-account endpoint; 45063 at the mini-program ones (`wechat.md §1.4`).
    ServiceAccount,
    /// No such account exists at WeChat; convenient here.
    #[default]
    Both,
}

/// A template that exists.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Template {
    /// Its id.
    pub template_id: String,
    /// Its keys; when given, `data` of subscription messages and service-account templates must have exactly these
    /// (`wechat.md §3`).
    #[serde(default)]
    pub keys: Option<Vec<String>>,
}

/// The content type of provider replies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ContentType {
    /// `application/json`.
    #[default]
    Json,
    /// `text/plain`.
    Text,
}

/// Calls an app may make. The figures are those of `wechat.md §6`; a benchmark raises them.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Quotas {
    /// `GET /cgi-bin/token`, each day.
    pub token_per_day: u64,
    /// `POST /cgi-bin/stable_token`, each minute.
    pub stable_token_per_minute: u64,
    /// `POST /cgi-bin/stable_token`, each day.
    pub stable_token_per_day: u64,
    /// Forced refreshes, each day.
    pub forced_per_day: u64,
    /// Mini-program template messages, each day.
    pub template_per_day: u64,
    /// Subscription messages, each day: 10 million without payment enabled, 30 million with.
    pub subscribe_per_day: u64,
    /// Service-account template messages, each day.
    pub official_template_per_day: u64,
    /// Calls of any one sending endpoint, each minute. Observed once, for one account; nothing is published.
    pub sends_per_minute: u64,
}

impl Default for Quotas {
    fn default() -> Self {
        Self {
            token_per_day: 2_000,
            stable_token_per_minute: 10_000,
            stable_token_per_day: 500_000,
            forced_per_day: 20,
            template_per_day: 1_000_000,
            subscribe_per_day: 10_000_000,
            official_template_per_day: 100_000,
            sends_per_minute: 4_200_000,
        }
    }
}

impl Quotas {
    /// No quota at all: for benchmarks.
    pub const UNLIMITED: Self = Self {
        token_per_day: u64::MAX,
        stable_token_per_minute: u64::MAX,
        stable_token_per_day: u64::MAX,
        forced_per_day: u64::MAX,
        template_per_day: u64::MAX,
        subscribe_per_day: u64::MAX,
        official_template_per_day: u64::MAX,
        sends_per_minute: u64::MAX,
    };
}

/// What WeChat does where the facts sheet does not know, or knows two answers.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Unknowns {
    /// The code for a wrong secret at the token endpoints (`wechat.md §1.3`).
    pub wrong_secret: WrongSecretCode,
    /// Whether a forced refresh leaves the old token its five minutes (`wechat.md §1.2` says "invalidates", and also that
    /// two forces kill a leaked token). Default: no, it dies at once.
    pub force_keeps_overlap: bool,
    /// The answer to a client_msg_id seen within ten minutes (`wechat.md §8.5`).
    pub duplicate_client_msg_id: DuplicateReply,
    /// The code for `\uXXXX` escapes (`wechat.md §0`).
    pub escape_code: EscapeCode,
    /// Whether a subscription message that is refused for its own sake (page, value) uses up a grant (`wechat.md §8.7`).
    /// Default: no.
    pub refused_send_uses_grant: bool,
    /// Whether subscription sends answer a msgid (`wechat.md §3`: the event document says so, some report none).
    /// Default: yes.
    pub subscribe_msgid: bool,
    /// What one character is in the value rules (`wechat.md §3`). Default: a UTF-16 unit, the stricter.
    pub character_unit: CharacterUnit,
    /// Whether service-account templates enforce the value rules: category templates do, sandbox accounts do not
    /// (`wechat.md §4`). Default: yes.
    pub official_template_values: bool,
    /// Where the quota day begins, in hours east of UTC (`wechat.md §6`: midnight UTC+8 is the usual assumption).
    pub quota_day_utc_offset_hours: i32,
    /// Whether the retired mini-program template endpoint still answers, and what when not (`wechat.md §2`, §8.10).
    /// Default: it does, for it is what this sandbox is for.
    pub template_api: TemplateApi,
    /// How long after the payment a prepay_id is not yet accepted (41028); one thread speaks of about 10 seconds
    /// (`wechat.md §2`). Default: 0.
    pub prepay_id_ready_after_seconds: u32,
}

impl Default for Unknowns {
    fn default() -> Self {
        Self {
            wrong_secret: WrongSecretCode::Code40001,
            force_keeps_overlap: false,
            duplicate_client_msg_id: DuplicateReply::SameMsgid,
            escape_code: EscapeCode::Code40033,
            refused_send_uses_grant: false,
            subscribe_msgid: true,
            character_unit: CharacterUnit::Utf16,
            official_template_values: true,
            quota_day_utc_offset_hours: 8,
            template_api: TemplateApi::Alive,
            prepay_id_ready_after_seconds: 0,
        }
    }
}

/// The code for a wrong secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum WrongSecretCode {
    /// As the documents say.
    #[serde(rename = "40001")]
    Code40001,
    /// As live replies have said.
    #[serde(rename = "40125")]
    Code40125,
}

/// The answer to a duplicate client_msg_id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum DuplicateReply {
    /// Success, with the msgid of the first.
    #[serde(rename = "same_msgid")]
    SameMsgid,
    /// Refused with 40241.
    #[serde(rename = "40241")]
    Code40241,
}

/// The code for `\uXXXX` escapes in a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum EscapeCode {
    /// "invalid charset".
    #[serde(rename = "40033")]
    Code40033,
    /// "data format error".
    #[serde(rename = "47002")]
    Code47002,
}

/// The state of the retired mini-program template endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum TemplateApi {
    /// It sends.
    #[serde(rename = "alive")]
    Alive,
    /// It answers 45103 to everything.
    #[serde(rename = "45103")]
    Gone45103,
    /// It answers 45109 to everything.
    #[serde(rename = "45109")]
    Gone45109,
}
