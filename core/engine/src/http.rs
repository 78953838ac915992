//! The engine's one HTTP client: TLS verified, connections reused, every call with a deadline, every body bounded.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tidings_model::limits::RESPONSE_BYTES_MAX;
use tidings_sdk::{Method, Request};

use crate::config::Secret;

/// How long a connection may take to open: less than any request may, so that a connection that does not open is known
/// as one, and nothing is thought to have gone out.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(1500);
/// Idle connections kept for each provider: as many as a busy channel has on their way.
const IDLE_CONNECTIONS_MAX: usize = 512;

/// Addresses kept: a few channels, each with the token of now and the one before.
const ADDRESSES_MAX: usize = 16;

/// Sends requests. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Http {
    client: reqwest::Client,
    /// For providers on this machine, which no proxy of the environment can reach: the sandbox, above all.
    direct: reqwest::Client,
    addresses: Arc<Mutex<Addresses>>,
}

/// Addresses that were read before: every message of a channel goes to the same one until the token changes, and
/// reading an address costs as much as writing the request.
#[derive(Default)]
struct Addresses {
    known: VecDeque<(String, reqwest::Url)>,
}

impl std::fmt::Debug for Addresses {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // A token stands in the query of each.
        write!(f, "{} addresses", self.known.len())
    }
}

impl Addresses {
    fn read(&mut self, text: &str) -> Result<reqwest::Url, String> {
        if let Some((_, url)) = self.known.iter().find(|(known, _)| known == text) {
            return Ok(url.clone());
        }
        let url = reqwest::Url::parse(text).map_err(|error| format!("the address cannot be read: {error}"))?;
        if self.known.len() == ADDRESSES_MAX {
            self.known.pop_front();
        }
        self.known.push_back((text.to_owned(), url.clone()));
        Ok(url)
    }
}

/// What came of a request, as far as the message is concerned.
#[derive(Debug)]
pub(crate) enum Exchange {
    /// An answer, whole.
    Answered { status: u16, retry_after: Option<Duration>, body: Vec<u8> },
    /// Nothing went out: the provider cannot have acted.
    NotSent(String),
    /// It went out, and no whole answer came: the provider may have acted.
    Lost(String),
}

impl Http {
    pub(crate) fn new() -> Result<Http, reqwest::Error> {
        // Another part of the program may have chosen the same provider before: that is as good.
        let _already = rustls::crypto::ring::default_provider().install_default();
        let builder = || {
            reqwest::Client::builder()
                .connect_timeout(CONNECT_TIMEOUT)
                .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
                .redirect(reqwest::redirect::Policy::none())
                .user_agent(concat!("tidings/", env!("CARGO_PKG_VERSION")))
        };
        let (client, direct) = (builder().build()?, builder().no_proxy().build()?);
        Ok(Http { client, direct, addresses: Arc::default() })
    }

    /// Asks for something whose answer is read while it comes. Whoever asks keeps to a time; redirects are not followed.
    pub(crate) async fn get(
        &self,
        url: &reqwest::Url,
        headers: &[(String, Secret)],
    ) -> Result<reqwest::Response, String> {
        let mut builder = self.client_for(url.as_str()).get(url.clone());
        for (name, value) in headers {
            builder = builder.header(name, value.reveal());
        }
        builder.send().await.map_err(told)
    }

    fn client_for(&self, url: &str) -> &reqwest::Client {
        let local = ["http://127.", "http://localhost", "http://[::1]"].iter().any(|at| url.starts_with(at));
        if local { &self.direct } else { &self.client }
    }

    pub(crate) async fn send(&self, request: Request, timeout: Duration) -> Exchange {
        let method = match request.method {
            Method::Get => reqwest::Method::GET,
            Method::Post => reqwest::Method::POST,
            Method::Put => reqwest::Method::PUT,
            Method::Patch => reqwest::Method::PATCH,
            Method::Delete => reqwest::Method::DELETE,
        };
        let client = self.client_for(&request.url);
        let address = self.addresses.lock().unwrap_or_else(PoisonError::into_inner).read(&request.url);
        let address = match address {
            Ok(address) => address,
            Err(problem) => return Exchange::NotSent(problem),
        };
        let mut builder = client.request(method, address).timeout(timeout);
        for (name, value) in request.headers {
            builder = builder.header(&*name, &*value);
        }
        if !request.body.is_empty() {
            builder = builder.body(request.body);
        }
        let mut response = match builder.send().await {
            Ok(response) => response,
            Err(error) if error.is_builder() || error.is_connect() => return Exchange::NotSent(told(error)),
            Err(error) => return Exchange::Lost(told(error)),
        };
        let status = response.status().as_u16();
        let retry_after = response
            .headers()
            .get("retry-after")
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.trim().parse::<u32>().ok())
            .map(|seconds| Duration::from_secs(seconds.into()));
        let mut body = Vec::new();
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) if body.len() + chunk.len() > RESPONSE_BYTES_MAX => {
                    return Exchange::Lost(format!("HTTP {status} with more than {RESPONSE_BYTES_MAX} bytes"));
                }
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                Ok(None) => return Exchange::Answered { status, retry_after, body },
                Err(error) => return Exchange::Lost(format!("HTTP {status}, then {}", told(error))),
            }
        }
    }
}

/// The error and its causes, without the address: a token stands in its query.
pub(crate) fn told(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    text
}
