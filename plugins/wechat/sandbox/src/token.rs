//! Access tokens: two isolated chains per app, their overlap, their quotas, and what a send endpoint says of a token
//! (`wechat.md §1`).

use std::collections::HashMap;
use std::sync::Arc;

use serde::Deserialize;

use crate::codes::{DAILY_QUOTA, MINUTE_QUOTA, Refusal, TOKEN_EXPIRED, TOKEN_MALFORMED, TOKEN_NOT_LATEST};
use crate::limits::{FORCE_SPACING_MS, TOKEN_LIFE_MS, TOKEN_OVERLAP_MS, TOKENS_REMEMBERED_MAX};
use crate::options::{Quotas, Unknowns};
use crate::random::{SplitMix, is_token_shaped};

/// What sends answer to a token that was killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(try_from = "i64")]
pub enum TokenDeath {
    /// 40001, "invalid or not latest".
    #[default]
    NotLatest,
    /// 42001, "expired".
    Expired,
}

impl TryFrom<i64> for TokenDeath {
    type Error = String;

    fn try_from(errcode: i64) -> Result<Self, String> {
        match errcode {
            40001 => Ok(Self::NotLatest),
            42001 => Ok(Self::Expired),
            _ => Err(format!("`errcode` is {errcode}, expected 40001 or 42001")),
        }
    }
}

/// A token as an endpoint hands it out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Issued {
    pub(crate) access_token: Arc<str>,
    pub(crate) expires_in_seconds: i64,
}

/// Every token of every app that may still be asked about.
#[derive(Debug, Default)]
pub(crate) struct Tokens {
    known: HashMap<Arc<str>, Token>,
}

#[derive(Debug)]
struct Token {
    app: usize,
    expires_at_ms: i64,
    /// Set when a newer one took its place, or somebody killed it.
    dies: Option<(i64, TokenDeath)>,
}

/// What one app has fetched. `/cgi-bin/token` and `/cgi-bin/stable_token` are fully isolated (`wechat.md §1.2`).
#[derive(Debug, Default)]
pub(crate) struct TokenChains {
    legacy: Chain,
    stable: Chain,
    legacy_day: Window,
    stable_minute: Window,
    stable_day: Window,
    forced_day: Window,
    forced_at_ms: Option<i64>,
}

/// At most two tokens of a chain work at a time: the latest and, for its overlap, the one before. That is why two forced
/// refreshes kill a leaked token (`wechat.md §1.2`).
#[derive(Debug, Default)]
struct Chain {
    current: Option<Arc<str>>,
    previous: Option<Arc<str>>,
}

/// What an issuing decision is made with.
pub(crate) struct Issuing<'a> {
    pub(crate) tokens: &'a mut Tokens,
    pub(crate) random: &'a mut SplitMix,
    pub(crate) quotas: &'a Quotas,
    pub(crate) unknowns: &'a Unknowns,
    pub(crate) app: usize,
    pub(crate) now_ms: i64,
}

/// `GET /cgi-bin/token`: always a new token; the old one keeps five minutes (`wechat.md §1.1`).
pub(crate) fn issue_legacy(chains: &mut TokenChains, issuing: &mut Issuing<'_>) -> Result<Issued, Refusal> {
    let day = day_index(issuing.now_ms, issuing.unknowns);
    chains.legacy_day.take(day, issuing.quotas.token_per_day, DAILY_QUOTA)?;
    Ok(chains.legacy.renew(issuing, TOKEN_OVERLAP_MS))
}

/// `POST /cgi-bin/stable_token`: the same token until its last five minutes, unless forced (`wechat.md §1.2`).
pub(crate) fn issue_stable(
    chains: &mut TokenChains,
    force: bool,
    issuing: &mut Issuing<'_>,
) -> Result<Issued, Refusal> {
    let now_ms = issuing.now_ms;
    let day = day_index(now_ms, issuing.unknowns);
    chains.stable_minute.take(minute_index(now_ms), issuing.quotas.stable_token_per_minute, MINUTE_QUOTA)?;
    chains.stable_day.take(day, issuing.quotas.stable_token_per_day, DAILY_QUOTA)?;
    // Too soon after the last force "nothing is refreshed": the call answers as if it had not asked.
    let spaced = chains.forced_at_ms.is_none_or(|at| now_ms.saturating_sub(at) >= FORCE_SPACING_MS);
    if force && spaced {
        chains.forced_day.take(day, issuing.quotas.forced_per_day, DAILY_QUOTA)?;
        chains.forced_at_ms = Some(now_ms);
        let overlap_ms = if issuing.unknowns.force_keeps_overlap { TOKEN_OVERLAP_MS } else { 0 };
        return Ok(chains.stable.renew(issuing, overlap_ms));
    }
    if let Some(current) = &chains.stable.current
        && let Some(token) = issuing.tokens.known.get(current)
        && token.expires_at_ms.saturating_sub(now_ms) > TOKEN_OVERLAP_MS
    {
        let expires_in_seconds = token.expires_at_ms.saturating_sub(now_ms) / 1_000;
        return Ok(Issued { access_token: Arc::clone(current), expires_in_seconds });
    }
    Ok(chains.stable.renew(issuing, TOKEN_OVERLAP_MS))
}

/// Kills what the app holds now; the next fetch issues a new token on either endpoint.
pub(crate) fn kill(chains: &mut TokenChains, tokens: &mut Tokens, death: TokenDeath, now_ms: i64) {
    for chain in [&mut chains.legacy, &mut chains.stable] {
        let killed = [chain.current.take(), chain.previous.take()];
        for text in killed.into_iter().flatten() {
            tokens.retire(&text, now_ms, death);
        }
    }
}

impl Chain {
    fn renew(&mut self, issuing: &mut Issuing<'_>, overlap_ms: i64) -> Issued {
        let now_ms = issuing.now_ms;
        if let Some(previous) = self.previous.take() {
            issuing.tokens.retire(&previous, now_ms, TokenDeath::NotLatest);
        }
        if let Some(current) = self.current.take() {
            issuing.tokens.retire(&current, now_ms.saturating_add(overlap_ms), TokenDeath::NotLatest);
            self.previous = Some(current);
        }
        let access_token: Arc<str> = issuing.random.token().into();
        let expires_at_ms = now_ms.saturating_add(TOKEN_LIFE_MS);
        issuing.tokens.remember(&access_token, Token { app: issuing.app, expires_at_ms, dies: None }, now_ms);
        self.current = Some(Arc::clone(&access_token));
        Issued { access_token, expires_in_seconds: TOKEN_LIFE_MS / 1_000 }
    }
}

impl Tokens {
    /// Which app a token speaks for, or why it does not (`wechat.md §1.4`).
    pub(crate) fn check(&self, text: &str, now_ms: i64) -> Result<usize, Refusal> {
        let Some(token) = self.known.get(text) else {
            return Err(if is_token_shaped(text) { TOKEN_NOT_LATEST } else { TOKEN_MALFORMED });
        };
        // An overlap does not outlast the token's own two hours.
        if token.expires_at_ms <= now_ms {
            return Err(TOKEN_EXPIRED);
        }
        match token.dies {
            Some((at_ms, TokenDeath::NotLatest)) if at_ms <= now_ms => Err(TOKEN_NOT_LATEST),
            Some((at_ms, TokenDeath::Expired)) if at_ms <= now_ms => Err(TOKEN_EXPIRED),
            _ => Ok(token.app),
        }
    }

    fn retire(&mut self, text: &str, at_ms: i64, death: TokenDeath) {
        if let Some(token) = self.known.get_mut(text) {
            // An earlier death stands.
            if token.dies.is_none_or(|(dies_at_ms, _)| at_ms < dies_at_ms) {
                token.dies = Some((at_ms, death));
            }
        }
    }

    fn remember(&mut self, text: &Arc<str>, token: Token, now_ms: i64) {
        if self.known.len() >= TOKENS_REMEMBERED_MAX {
            // A swept token answers 40001 like any unknown one. Two live ones per chain always stay.
            self.known
                .retain(|_, token| token.expires_at_ms > now_ms && token.dies.is_none_or(|(at_ms, _)| at_ms > now_ms));
        }
        self.known.insert(Arc::clone(text), token);
    }
}

/// Calls counted within one day or one minute.
#[derive(Debug, Default)]
pub(crate) struct Window {
    index: i64,
    used: u64,
}

impl Window {
    /// Counts a call, or refuses it when the window is full.
    pub(crate) fn take(&mut self, index: i64, calls_max: u64, refusal: Refusal) -> Result<(), Refusal> {
        if self.index != index {
            *self = Self { index, used: 0 };
        }
        if self.used >= calls_max {
            return Err(refusal);
        }
        self.used += 1;
        Ok(())
    }
}

pub(crate) fn day_index(now_ms: i64, unknowns: &Unknowns) -> i64 {
    now_ms.saturating_add(i64::from(unknowns.quota_day_utc_offset_hours) * 3_600_000).div_euclid(86_400_000)
}

pub(crate) fn minute_index(now_ms: i64) -> i64 {
    now_ms.div_euclid(60_000)
}
