//! The client: over the local socket of an engine, or over TCP with an API key.

mod events;
mod schedules;

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

pub use events::{EventStream, Told};

use crate::wire::{
    ActReply, ActRequest, AuditEntry, BackupReply, BackupRequest, BulkLine, BulkPlan, BulkReply, BulkRequest, Channel,
    Credential, CredentialsReply, Forecasts, Hello, Key, KeyRequest, Message, NewKey, Node, Overview, Page, Plugin,
    Preflight, Problem, Reachability, Reasons, ReloadReply, Run, RunDetail, SendReply, SendRequest, Suppression,
    SuppressionReply, SuppressionRequest, Token, USER_HEADER, Webhook, WebhookTest,
};

/// How long one call may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// A preflight reads its whole audience: longer than the engine takes at most.
const PREFLIGHT_TIMEOUT: Duration = Duration::from_secs(660);
/// How long a copy of a large store may take.
const BACKUP_TIMEOUT: Duration = Duration::from_secs(6 * 3600);
/// How long a connection may take to open.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Where an engine is.
#[derive(Debug, Clone)]
pub enum Address {
    /// Its local socket.
    Socket(PathBuf),
    /// A base URL, as in `http://127.0.0.1:7380`.
    Url(String),
}

/// Why a call came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No engine answered.
    #[error("no engine answers at {address}; start one with `tidings run`, or name another with `--url`")]
    Unreachable {
        /// Where it was looked for.
        address: String,
        /// Why not.
        source: reqwest::Error,
    },
    /// The engine said no.
    #[error("{}", .0.detail)]
    Refused(Problem),
    /// The answer was not one of ours.
    #[error("the answer from {address} is not Tidings': {found}")]
    Foreign {
        /// Who answered.
        address: String,
        /// What came.
        found: String,
    },
}

/// Calls an engine's API. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    shown: String,
    key: Option<String>,
    user: Option<String>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("address", &self.shown).finish_non_exhaustive()
    }
}

impl Client {
    /// A client of the engine there. The key is needed over TCP. The program must have installed a default provider of
    /// `rustls` before.
    pub fn new(address: Address, key: Option<String>) -> Result<Client, ClientError> {
        let shown = match &address {
            Address::Socket(path) => show(path),
            Address::Url(url) => url.clone(),
        };
        Client::build(reqwest::Client::builder(), address, key)
            .map_err(|source| ClientError::Unreachable { address: shown, source })
    }

    /// The same over https, for an engine whose certificate is signed by none of the system's roots: these in PEM are
    /// trusted beside them.
    pub fn trusting(url: &str, key: Option<String>, roots: &[u8]) -> Result<Client, reqwest::Error> {
        let roots = reqwest::Certificate::from_pem_bundle(roots)?;
        Client::build(reqwest::Client::builder().tls_certs_merge(roots), Address::Url(url.to_owned()), key)
    }

    fn build(builder: reqwest::ClientBuilder, address: Address, key: Option<String>) -> Result<Client, reqwest::Error> {
        let builder = builder.timeout(CALL_TIMEOUT).connect_timeout(CONNECT_TIMEOUT).no_proxy();
        let (builder, base, shown) = match address {
            Address::Socket(path) => (builder.unix_socket(path.as_path()), "http://tidings".to_owned(), show(&path)),
            Address::Url(url) => {
                let url = url.trim_end_matches('/').to_owned();
                (builder, url.clone(), url)
            }
        };
        let http = builder.build()?;
        Ok(Client { http, base, shown, key, user: None })
    }

    /// The same, for somebody of that name: it stands in the record of changes, if the engine is asked over its socket.
    pub fn by(self, user: Option<String>) -> Client {
        Client { user, ..self }
    }

    /// Where the engine is, for people.
    pub fn address(&self) -> &str {
        &self.shown
    }

    /// Everything an operator looks at first.
    pub async fn overview(&self) -> Result<Overview, ClientError> {
        self.get("/v1/overview").await
    }

    /// Has the engine read its config again; with `dry_run` only says what differs.
    pub async fn reload(&self, dry_run: bool, reason: Option<String>) -> Result<ReloadReply, ClientError> {
        self.post(if dry_run { "/v1/config/reload?dry_run=true" } else { "/v1/config/reload" }, &ActRequest { reason })
            .await
    }

    /// Sends one message; with `dry_run` everything is checked and nothing accepted.
    pub async fn send(&self, request: &SendRequest, dry_run: bool) -> Result<SendReply, ClientError> {
        self.post(if dry_run { "/v1/messages?dry_run=true" } else { "/v1/messages" }, request).await
    }

    /// Sends many messages; the answer has a line for each. With `dry_run` everything is checked and nothing accepted.
    pub async fn send_bulk(&self, requests: &[SendRequest], dry_run: bool) -> Result<Vec<BulkLine>, ClientError> {
        let lines: Vec<String> =
            requests.iter().map(|request| serde_json::to_string(request).expect("a request is JSON")).collect();
        let path = if dry_run { "/v1/messages/bulk?dry_run=true" } else { "/v1/messages/bulk" };
        let request = self.http.post(self.url(path)).header("content-type", "application/x-ndjson");
        let text = self.text(request.body(lines.join("\n"))).await?;
        text.lines().map(|line| self.parse(line)).collect()
    }

    /// A page of messages. The query is that of `GET /v1/messages`: `state`, `reason`, `channel`, `template`,
    /// `to`, `newer_than`, `older_than`, `limit`, `cursor`. A page may have fewer rows than asked for and still a next one.
    pub async fn messages(&self, query: &[(&str, String)]) -> Result<Page<Message>, ClientError> {
        self.get(&with_query("/v1/messages", query)).await
    }

    /// Messages that stopped short of being sent, by why. The query is that of `GET /v1/messages/reasons`: `state`,
    /// `channel`.
    pub async fn reasons(&self, query: &[(&str, String)]) -> Result<Reasons, ClientError> {
        self.get(&with_query("/v1/messages/reasons", query)).await
    }

    /// One message, with its data and attempts.
    pub async fn message(&self, id: &str) -> Result<Message, ClientError> {
        self.get(&format!("/v1/messages/{}", encode(id))).await
    }

    /// `retry`, `cancel`, `hold` or `release` of one message.
    pub async fn act(&self, id: &str, act: &str, reason: Option<String>) -> Result<ActReply, ClientError> {
        self.post(&format!("/v1/messages/{}/{act}", encode(id)), &ActRequest { reason }).await
    }

    /// What `cancel`, `hold`, `release` or `retry` of many messages would do.
    pub async fn plan_for_many(&self, act: &str, request: &BulkRequest) -> Result<BulkPlan, ClientError> {
        self.post(&format!("/v1/messages/{act}"), &BulkRequest { plan: true, ..request.clone() }).await
    }

    /// Does it; what is left takes another call with the cursor of the answer.
    pub async fn act_on_many(&self, act: &str, request: &BulkRequest) -> Result<BulkReply, ClientError> {
        self.post(&format!("/v1/messages/{act}"), &BulkRequest { plan: false, ..request.clone() }).await
    }

    /// Posts credentials as JSON objects, one or many.
    pub async fn add_credentials(
        &self,
        source: &str,
        app: Option<&str>,
        items: &[Value],
    ) -> Result<CredentialsReply, ClientError> {
        let query: Vec<(&str, String)> = app.map(|app| ("app", app.to_owned())).into_iter().collect();
        self.post(&with_query(&format!("/v1/credentials/{}", encode(source)), &query), &items).await
    }

    /// A page of credentials. The query is that of `GET /v1/credentials`: `source`, `recipient`, `usable`, `limit`, `cursor`.
    pub async fn credentials(&self, query: &[(&str, String)]) -> Result<Page<Credential>, ClientError> {
        self.get(&with_query("/v1/credentials", query)).await
    }

    /// How one recipient can be reached now, with each template or with one.
    pub async fn reachability(&self, recipient: &str, template: Option<&str>) -> Result<Reachability, ClientError> {
        let query: Vec<(&str, String)> = template.map(|name| ("template", name.to_owned())).into_iter().collect();
        self.get(&with_query(&format!("/v1/reachability/{}", encode(recipient)), &query)).await
    }

    /// How many people can be reached, with each template or with one.
    pub async fn forecast(&self, template: Option<&str>) -> Result<Forecasts, ClientError> {
        let query: Vec<(&str, String)> = template.map(|name| ("template", name.to_owned())).into_iter().collect();
        self.get(&with_query("/v1/credentials/forecast", &query)).await
    }

    /// The channels.
    pub async fn channels(&self) -> Result<Vec<Channel>, ClientError> {
        self.get("/v1/channels").await
    }

    /// `pause` or `resume` of a channel.
    pub async fn act_on_channel(&self, name: &str, act: &str, reason: Option<String>) -> Result<Channel, ClientError> {
        self.post(&format!("/v1/channels/{}/{act}", encode(name)), &ActRequest { reason }).await
    }

    /// The plugins.
    pub async fn plugins(&self) -> Result<Vec<Plugin>, ClientError> {
        self.get("/v1/plugins").await
    }

    /// The tokens.
    pub async fn tokens(&self) -> Result<Vec<Token>, ClientError> {
        self.get("/v1/tokens").await
    }

    /// Fetches a token for the app now, and lifts its halt.
    pub async fn refresh_token(&self, app: &str, reason: Option<String>) -> Result<Token, ClientError> {
        self.post(&format!("/v1/tokens/{}/refresh", encode(app)), &ActRequest { reason }).await
    }

    /// Who we are to the engine.
    pub async fn hello(&self) -> Result<Hello, ClientError> {
        self.get("/v1/hello").await
    }

    /// The keys of callers.
    pub async fn keys(&self) -> Result<Vec<Key>, ClientError> {
        self.get("/v1/keys").await
    }

    /// Makes a key.
    pub async fn add_key(&self, request: &KeyRequest) -> Result<NewKey, ClientError> {
        self.post("/v1/keys", request).await
    }

    /// Makes a key as good as none.
    pub async fn revoke_key(&self, name: &str, reason: Option<String>) -> Result<Key, ClientError> {
        self.post(&format!("/v1/keys/{}/revoke", encode(name)), &ActRequest { reason }).await
    }

    /// The engines that share the store.
    pub async fn nodes(&self) -> Result<Vec<Node>, ClientError> {
        self.get("/v1/nodes").await
    }

    /// The webhooks.
    pub async fn webhooks(&self) -> Result<Vec<Webhook>, ClientError> {
        self.get("/v1/webhooks").await
    }

    /// Sets a webhook going again.
    pub async fn resume_webhook(&self, name: &str, reason: Option<String>) -> Result<Webhook, ClientError> {
        self.post(&format!("/v1/webhooks/{}/resume", encode(name)), &ActRequest { reason }).await
    }

    /// Posts one notice to a webhook, to try it.
    pub async fn test_webhook(&self, name: &str) -> Result<WebhookTest, ClientError> {
        self.post(&format!("/v1/webhooks/{}/test", encode(name)), &ActRequest::default()).await
    }

    /// One run with a page of its log. The query is that of `GET /v1/runs/{run}`: `limit`, `cursor`.
    pub async fn run(&self, id: &str, query: &[(&str, String)]) -> Result<RunDetail, ClientError> {
        self.get(&with_query(&format!("/v1/runs/{}", encode(id)), query)).await
    }

    /// Ends a run.
    pub async fn cancel_run(&self, id: &str, reason: Option<String>) -> Result<Run, ClientError> {
        self.post(&format!("/v1/runs/{}/cancel", encode(id)), &ActRequest { reason }).await
    }

    /// Whom a schedule's broadcast would reach. A large audience takes a while.
    pub async fn preflight(&self, schedule: &str) -> Result<Preflight, ClientError> {
        let request = self.http.post(self.url(&format!("/v1/schedules/{}/preflight", encode(schedule))));
        let text = self.text(request.timeout(PREFLIGHT_TIMEOUT)).await?;
        self.parse(&text)
    }

    /// A page of runs. The query is that of `GET /v1/runs`: `schedule`, `run_state`, `limit`, `cursor`.
    pub async fn runs(&self, query: &[(&str, String)]) -> Result<Page<Run>, ClientError> {
        self.get(&with_query("/v1/runs", query)).await
    }

    /// Recipients who are told nothing. The query is that of `GET /v1/suppressions`: `app`, `recipient`, `limit`, `cursor`.
    pub async fn suppressions(&self, query: &[(&str, String)]) -> Result<Page<Suppression>, ClientError> {
        self.get(&with_query("/v1/suppressions", query)).await
    }

    /// Has a recipient told nothing.
    pub async fn suppress(&self, request: &SuppressionRequest) -> Result<SuppressionReply, ClientError> {
        self.post("/v1/suppressions", request).await
    }

    /// Has a recipient told again.
    pub async fn unsuppress(
        &self,
        app: &str,
        recipient: &str,
        why: Option<String>,
    ) -> Result<Suppression, ClientError> {
        let mut query = vec![("app", app.to_owned()), ("recipient", recipient.to_owned())];
        query.extend(why.map(|why| ("why", why)));
        let text = self.text(self.http.delete(self.url(&with_query("/v1/suppressions", &query)))).await?;
        self.parse(&text)
    }

    /// A page of the record of changes. The query is that of `GET /v1/audit`: `who`, `act`, `subject`, `since`, `limit`,
    /// `cursor`.
    pub async fn audit(&self, query: &[(&str, String)]) -> Result<Page<AuditEntry>, ClientError> {
        self.get(&with_query("/v1/audit", query)).await
    }

    /// Copies the store into a new file on the engine's machine. Over the local socket alone.
    pub async fn backup(&self, path: &str) -> Result<BackupReply, ClientError> {
        let request = BackupRequest { path: path.to_owned() };
        let body = serde_json::to_string(&request).expect("a request is JSON");
        let request = self.http.post(self.url("/v1/backup")).header("content-type", "application/json").body(body);
        let text = self.text(request.timeout(BACKUP_TIMEOUT)).await?;
        self.parse(&text)
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        let text = self.text(self.http.get(self.url(path))).await?;
        self.parse(&text)
    }

    async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, ClientError> {
        let body = serde_json::to_string(body).expect("a request is JSON");
        let request = self.http.post(self.url(path)).header("content-type", "application/json").body(body);
        let text = self.text(request).await?;
        self.parse(&text)
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    async fn text(&self, request: reqwest::RequestBuilder) -> Result<String, ClientError> {
        self.answer(request).await?.text().await.map_err(|source| self.unreachable(source))
    }

    /// The answer to a request, if it is a yes.
    async fn answer(&self, mut request: reqwest::RequestBuilder) -> Result<reqwest::Response, ClientError> {
        if let Some(key) = &self.key {
            request = request.bearer_auth(key);
        }
        if let Some(user) = &self.user {
            request = request.header(USER_HEADER, user);
        }
        let response = request.send().await.map_err(|source| self.unreachable(source))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let text = response.text().await.map_err(|source| self.unreachable(source))?;
        match serde_json::from_str::<Problem>(&text) {
            Ok(problem) => Err(ClientError::Refused(problem)),
            Err(_) => Err(self.foreign(&format!("HTTP {status}"))),
        }
    }

    fn unreachable(&self, source: reqwest::Error) -> ClientError {
        ClientError::Unreachable { address: self.shown.clone(), source: source.without_url() }
    }

    fn parse<T: DeserializeOwned>(&self, text: &str) -> Result<T, ClientError> {
        serde_json::from_str(text).map_err(|error| self.foreign(&error.to_string()))
    }

    fn foreign(&self, found: &str) -> ClientError {
        ClientError::Foreign { address: self.shown.clone(), found: found.to_owned() }
    }
}

fn show(path: &Path) -> String {
    path.display().to_string()
}

fn with_query(path: &str, query: &[(&str, String)]) -> String {
    let pairs: Vec<String> = query.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect();
    if pairs.is_empty() { path.to_owned() } else { format!("{path}?{}", pairs.join("&")) }
}

/// Percent-encodes one segment or value (RFC 3986 §2.3).
fn encode(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect()
}
