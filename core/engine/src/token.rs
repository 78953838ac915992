//! Keeps each app's token: one fetch in flight however many messages wait, renewed before its end, counted by the day.
//!
//! A token that was refused is fetched anew only if it is still the current one: whoever comes late with an older one
//! gets the newer (wechat.md §1.5, §1.6 say what happens otherwise). A fetch is counted in the store before it is
//! made, so that a crash loop cannot spend the day's quota twice.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tidings_model::limits::THROTTLE_MAX;
use tidings_model::retry::{Backoff, delay};
use tidings_model::secret;
use tidings_model::trace::{SpanId, TraceId};
use tidings_model::{AppName, Clock, Timestamp};
use tidings_sdk::Fetched;
use tidings_store::{FetchRight, TokenRow};

use crate::clock::random;
use crate::config::AppConfig;
use crate::events::{EventKind, What, cut};
use crate::http::Http;
use crate::probe::ask;
use crate::stages::TokenStage;
use crate::telemetry::{Span, SpanKind, Telemetry};
use crate::writer::{Fetch, WriterHandle};

/// A token that is refused within this long of its fetch is not fetched anew for it.
const REFUSED_EARLY: Duration = Duration::from_secs(30);
/// Between fetches that failed.
const FETCH_BACKOFF: Backoff = Backoff { base: Duration::from_secs(1), cap: Duration::from_secs(60) };

/// For how long an engine has the right to fetch a token alone: longer than a fetch may take.
const FETCH_WITHIN: Duration = Duration::from_secs(30);
/// Between two tries to get that right, and how many there are.
const RIGHT_WAIT: Duration = Duration::from_millis(100);
const RIGHT_TRIES_MAX: u32 = 100;

/// A token to send with.
#[derive(Clone)]
pub(crate) struct Token {
    pub(crate) value: String,
    pub(crate) generation: i64,
}

/// Why there is no token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// A fetch failed; the next is not before `until`, which was `wait` away when it failed.
    Wait { until: Timestamp, wait: Duration, detail: String },
    /// The day's fetches are used up.
    Exhausted { until: Timestamp, detail: String },
    /// The provider refuses the app.
    Halt { reason: String },
}

impl Trouble {
    /// The same, for people.
    pub(crate) fn detail(&self) -> &str {
        match self {
            Trouble::Wait { detail, .. } | Trouble::Exhausted { detail, .. } => detail,
            Trouble::Halt { reason } => reason,
        }
    }
}

/// The keeper of one app's token.
pub(crate) struct Keeper {
    name: AppName,
    secrets: Vec<String>,
    provider: TokenStage,
    margin: Duration,
    http: Http,
    writer: WriterHandle,
    telemetry: Telemetry,
    clock: Arc<dyn Clock>,
    /// What is known, for quick looks.
    shown: Mutex<Known>,
    /// Held for the length of a fetch: the single flight.
    fetching: tokio::sync::Mutex<u32>,
}

#[derive(Clone)]
struct Known {
    row: TokenRow,
    trouble: Option<Trouble>,
    /// Whether the token was fetched because the one before was refused.
    after_refusal: bool,
}

impl Keeper {
    #[expect(clippy::too_many_arguments, reason = "called in one place, each argument once")]
    pub(crate) fn new(
        name: AppName,
        config: &AppConfig,
        provider: TokenStage,
        stored: Option<TokenRow>,
        http: Http,
        writer: WriterHandle,
        telemetry: Telemetry,
        clock: Arc<dyn Clock>,
    ) -> Keeper {
        // A token of another account is worth nothing here, and sending it would tell it to a stranger.
        let stored = stored.filter(|row| row.account == config.account);
        let row = stored.unwrap_or_else(|| TokenRow {
            app: name.clone(),
            account: config.account.clone(),
            value: None,
            generation: 0,
            fetched_at: None,
            expires_at: None,
            day: 0,
            fetches: 0,
        });
        let shown = Mutex::new(Known { row, trouble: None, after_refusal: false });
        let fetching = tokio::sync::Mutex::new(0);
        let (secrets, margin) = (config.secrets.clone(), config.token_margin);
        Keeper { name, secrets, provider, margin, http, writer, telemetry, clock, shown, fetching }
    }

    /// The present row and what is wrong, for people.
    pub(crate) fn look(&self) -> (TokenRow, Option<Trouble>) {
        let known = self.known();
        (known.row, known.trouble)
    }

    /// How many fetches the present day has.
    pub(crate) fn fetches_max(&self) -> Option<u32> {
        self.provider.fetches_per_day()
    }

    /// Fetches on the present day.
    pub(crate) fn fetches_today(&self) -> u32 {
        let row = self.known().row;
        if row.day == self.clock.now().day(self.provider.day_offset()) { row.fetches } else { 0 }
    }

    /// A token that is good now. Near its end, one caller renews it while the others go on with it.
    pub(crate) async fn get(&self) -> Result<Token, Trouble> {
        let now = self.clock.now();
        let (token, is_due) = self.glance(now);
        if let Some(token) = token {
            if !is_due {
                return Ok(token);
            }
            let Ok(failures) = self.fetching.try_lock() else { return Ok(token) };
            // Somebody may have renewed it between the look and the lock.
            let row = self.known().row;
            if !self.is_due(&row, now) {
                return Ok(usable(&row, now).unwrap_or(token));
            }
            // A renewal that fails is no trouble while the old one is good.
            return Ok(self.renew(failures, row.generation).await.unwrap_or(token));
        }
        let failures = self.fetching.lock().await;
        let row = self.known().row;
        if let Some(token) = usable(&row, self.clock.now()) {
            return Ok(token);
        }
        self.renew(failures, row.generation).await
    }

    /// A token newer than the one of `generation`, which the provider refused. `None` if the provider only gives the
    /// same one again: then it is not the token that is wrong.
    pub(crate) async fn newer_than(&self, refused: &Token) -> Result<Option<Token>, Trouble> {
        let failures = self.fetching.lock().await;
        let (row, now) = (self.known().row, self.clock.now());
        if row.generation != refused.generation {
            return Ok(usable(&row, now).filter(|token| token.value != refused.value));
        }
        // A token that was fetched because of a refusal, and is refused at once, says that something else is wrong: a
        // fetch for every such refusal would spend the day's quota in minutes. The first refusal always fetches: a
        // young token may have been ended by somebody else's fetch.
        let early = row.fetched_at.is_some_and(|fetched| now.since(fetched) < REFUSED_EARLY);
        if early && self.known().after_refusal {
            return Ok(None);
        }
        let token = self.renew(failures, refused.generation).await?;
        self.know(|known| known.after_refusal = true);
        Ok((token.value != refused.value).then_some(token))
    }

    /// Takes the token that another engine fetched, and how many fetches the day has by now.
    pub(crate) fn adopt(&self, row: TokenRow) {
        self.know(|known| {
            if row.account != known.row.account || row.generation < known.row.generation {
                return;
            }
            if row.generation > known.row.generation {
                (known.trouble, known.after_refusal) = (None, false);
            }
            known.row = row;
        });
    }

    /// Has the right to fetch to itself, beside other engines. Answers with the newest token instead if one of them has
    /// fetched it meanwhile.
    async fn wait_for_right(&self, generation: i64) -> Result<Option<Token>, Trouble> {
        let trouble = |detail: String| {
            let wait = FETCH_BACKOFF.base;
            Trouble::Wait { until: self.clock.now().after(wait), wait, detail }
        };
        for _ in 0..RIGHT_TRIES_MAX {
            match self.writer.may_fetch(&self.name, FETCH_WITHIN).await {
                Ok(FetchRight::Granted(newest)) => {
                    newest.into_iter().for_each(|row| self.adopt(row));
                    let row = self.known().row;
                    let newer = (row.generation > generation).then(|| usable(&row, self.clock.now())).flatten();
                    return Ok(newer);
                }
                Ok(FetchRight::Taken) => tokio::time::sleep(RIGHT_WAIT).await,
                Err(refusal) => return Err(trouble(format!("ask for the right to fetch a token: {refusal}"))),
            }
        }
        Err(trouble("another engine fetches the token, and takes long".to_owned()))
    }

    /// Fetches now, whatever the age of the present token, and forgets earlier trouble.
    pub(crate) async fn refresh(&self) -> Result<(), Trouble> {
        let failures = self.fetching.lock().await;
        self.know(|known| known.trouble = None);
        let generation = self.known().row.generation;
        self.renew(failures, generation).await.map(drop)
    }

    fn is_due(&self, row: &TokenRow, now: Timestamp) -> bool {
        let (Some(fetched), Some(end)) = (row.fetched_at, row.expires_at) else { return true };
        now >= end.before(margin(self.margin, end.since(fetched)))
    }

    async fn renew(&self, mut failures: tokio::sync::MutexGuard<'_, u32>, generation: i64) -> Result<Token, Trouble> {
        let now = self.clock.now();
        if let Some(trouble) = self.standing_trouble(now) {
            return Err(trouble);
        }
        if let Some(detail) = self.provider.trouble() {
            // Nothing can be asked, so nothing is counted; what is stored stays for when the plugin is back.
            let wait = FETCH_BACKOFF.cap;
            return Err(Trouble::Wait { until: now.after(wait), wait, detail });
        }
        if let Some(token) = self.wait_for_right(generation).await? {
            return Ok(token);
        }
        let generation = self.known().row.generation;
        let counted = self.count_fetch(now).await?;
        let fetched = ask(&self.provider, &self.http).await;
        let end = self.clock.now();
        self.tell_fetch(&fetched, now, end);
        let trouble = match fetched {
            Fetched::Token { value, life } => {
                *failures = 0;
                let row = TokenRow {
                    value: Some(value.clone()),
                    generation: generation + 1,
                    // From before the request: the provider's clock began no later than its answer.
                    fetched_at: Some(now),
                    expires_at: Some(now.after(life)),
                    ..counted
                };
                if let Err(refusal) = self.writer.save_token(row.clone(), Fetch::Ended).await {
                    // A token that is not on disk is as good for this run; only a restart would fetch again.
                    self.writer.warn_unless_away(format_args!("keep the token of app `{}`: {refusal}", self.name));
                }
                tracing::info!(app = %self.name, life_s = life.as_secs(), fetches = row.fetches, "token fetched");
                self.know(|known| *known = Known { row, trouble: None, after_refusal: false });
                return Ok(Token { value, generation: generation + 1 });
            }
            Fetched::Retry { after, detail } => {
                let detail = self.clean(detail);
                *failures += 1;
                let wait = delay(FETCH_BACKOFF, *failures, random()).max(after.unwrap_or_default().min(THROTTLE_MAX));
                Trouble::Wait { until: end.after(wait), wait, detail }
            }
            Fetched::QuotaExhausted { detail } => {
                let detail = self.clean(detail);
                Trouble::Exhausted { until: end.next_midnight(self.provider.day_offset()), detail }
            }
            Fetched::Halt { reason } => Trouble::Halt { reason: self.clean(reason) },
        };
        tracing::warn!(app = %self.name, "fetch token: {}", trouble.detail());
        let (app, reason) = (Arc::from(self.name.as_str()), cut(trouble.detail().to_owned()));
        self.writer.tell(vec![(EventKind::TokenFailed, What::App { app, expires_at: None, reason })]).await;
        self.know(|known| known.trouble = Some(trouble.clone()));
        Err(trouble)
    }

    /// Trouble that still stands: nobody fetches before its time is over.
    fn standing_trouble(&self, now: Timestamp) -> Option<Trouble> {
        self.known().trouble.filter(|trouble| match trouble {
            // An end that is further away than the whole wait is from before the clock was set back.
            Trouble::Wait { until, wait, .. } => now < *until && until.since(now) <= *wait,
            Trouble::Exhausted { until, .. } => now < *until,
            Trouble::Halt { .. } => true,
        })
    }

    /// Counts a fetch in the store, or says that the day has none left.
    async fn count_fetch(&self, now: Timestamp) -> Result<TokenRow, Trouble> {
        let day = now.day(self.provider.day_offset());
        let row = self.known().row;
        let used = if row.day == day { row.fetches } else { 0 };
        if let Some(max) = self.fetches_max()
            && used >= max
        {
            let until = now.next_midnight(self.provider.day_offset());
            let detail = format!(
                "the token budget of {max} fetches a day is used up; the next day begins at {until}; \
                 raise `apps.{}.fetches_per_day` if the provider allows more",
                self.name
            );
            let trouble = Trouble::Exhausted { until, detail };
            self.know(|known| known.trouble = Some(trouble.clone()));
            return Err(trouble);
        }
        let counted = TokenRow { day, fetches: used + 1, ..row };
        if let Err(refusal) = self.writer.save_token(counted.clone(), Fetch::Begun).await {
            let wait = FETCH_BACKOFF.base;
            let detail = format!("count a token fetch: {refusal}");
            return Err(Trouble::Wait { until: now.after(wait), wait, detail });
        }
        self.know(|known| known.row = counted.clone());
        Ok(counted)
    }

    /// The fetch for a collector: a trace of its own, because many messages may have waited for it.
    fn tell_fetch(&self, fetched: &Fetched, started_at: Timestamp, ended_at: Timestamp) {
        self.telemetry.span(|| Span {
            trace: TraceId::from_numbers(random().0, random().0),
            id: SpanId::from_number(random().0),
            parent: None,
            name: "token fetch",
            kind: SpanKind::Client,
            started_at,
            ended_at,
            attributes: vec![("tidings.app", self.name.as_str().into())],
            error: match fetched {
                Fetched::Token { .. } => None,
                Fetched::Retry { .. } => Some("retry"),
                Fetched::QuotaExhausted { .. } => Some("quota_exhausted"),
                Fetched::Halt { .. } => Some("halt"),
            },
        });
    }

    /// A provider may echo the app's secrets or its old token: what it says is kept without them.
    fn clean(&self, text: String) -> String {
        let token = self.known().row.value;
        secret::without(text, self.secrets.iter().chain(&token).map(String::as_str))
    }

    /// The token that is good now, and whether it is time to renew it: what every message asks.
    fn glance(&self, now: Timestamp) -> (Option<Token>, bool) {
        let known = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        (usable(&known.row, now), self.is_due(&known.row, now))
    }

    fn known(&self) -> Known {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn know(&self, change: impl FnOnce(&mut Known)) {
        change(&mut self.shown.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// How long before its end a token is renewed: never more than half its life, because a provider may hand out what is
/// left of an older one, and a margin above that would fetch for ever (wechat.md §1.2).
fn margin(configured: Duration, life: Duration) -> Duration {
    configured.min(life / 2)
}

fn usable(row: &TokenRow, now: Timestamp) -> Option<Token> {
    let value = row.value.clone()?;
    (now < row.expires_at?).then_some(Token { value, generation: row.generation })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_margin_is_never_more_than_half_a_life() {
        let seconds = Duration::from_secs;
        assert_eq!(margin(seconds(300), seconds(7200)), seconds(300));
        assert_eq!(margin(seconds(300), seconds(300)), seconds(150));
        assert_eq!(margin(seconds(300), seconds(0)), seconds(0));
    }
}
