//! The control plane: what phones do, what went wrong on purpose, what time it is, and what arrived.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use crate::callback::{Callback, PushEvent};
use crate::faults::{Fault, FaultReport, Faults};
use crate::limits::{CLOCK_STEP_SECONDS_MAX, FAULTS_MAX, LOG_PAGE_MAX, MINT_COUNT_MAX, OPENID_BYTES_MAX};
use crate::log::{self, Counts, Delivery, LogPage};
use crate::permits::PermitKind;
use crate::push::Pushed;
use crate::routes::Shared;
use crate::token::{self, TokenDeath};
use crate::users::{UserState, is_openid};

/// A handle on a running sandbox; cheap to clone. The routes under `/sandbox/` do the same over HTTP.
#[derive(Debug, Clone)]
pub struct Control {
    shared: Arc<Shared>,
}

/// Why a control call was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ControlError {
    /// The sandbox has no such app.
    UnknownApp(String),
    /// No user can have this openid.
    WrongOpenid(String),
    /// A grant needs a template.
    EmptyTemplate,
    /// More, or fewer, than one call may make.
    WrongCount(u64),
    /// The sandbox remembers as much as it may.
    Full,
    /// A fault rule makes no sense, or there are too many.
    WrongFault(String),
    /// No event can be pushed there.
    WrongCallback(String),
    /// The clock does not move so far at once.
    WrongStep(i64),
}

impl Control {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Form submissions: so many form_ids of a user, seven days, one message each.
    pub fn mint_form_ids(&self, appid: &str, openid: &str, count: u64) -> Result<Vec<String>, ControlError> {
        self.mint(PermitKind::FormId, appid, openid, count)
    }

    /// Payments: so many prepay_ids of a user, seven days, three messages each.
    pub fn mint_prepay_ids(&self, appid: &str, openid: &str, count: u64) -> Result<Vec<String>, ControlError> {
        self.mint(PermitKind::PrepayId, appid, openid, count)
    }

    /// Accepted subscriptions: adds grants of a user for a template and returns how many there are now.
    pub fn grant(&self, appid: &str, openid: &str, template_id: &str, count: u64) -> Result<u64, ControlError> {
        check_openid(openid)?;
        check_count(count)?;
        if template_id.is_empty() {
            return Err(ControlError::EmptyTemplate);
        }
        let app = self.app(appid)?;
        self.shared.world().apps[app].users.grant(openid, template_id, count).ok_or(ControlError::Full)
    }

    /// How a user stands to an app from now on.
    pub fn set_user(&self, appid: &str, openid: &str, state: UserState) -> Result<(), ControlError> {
        check_openid(openid)?;
        let app = self.app(appid)?;
        self.shared.world().apps[app].users.set_state(openid, state).ok_or(ControlError::Full)
    }

    /// Where events are pushed from now on; `None` for nowhere.
    pub fn set_callback(&self, callback: Option<Callback>) -> Result<(), ControlError> {
        callback.as_ref().map_or(Ok(()), Callback::check).map_err(ControlError::WrongCallback)?;
        self.shared.pushes.set_callback(callback);
        Ok(())
    }

    /// A user's answer to the dialog of a template: an accept is a grant more, a reject is none less; both are pushed.
    pub fn answer(&self, appid: &str, openid: &str, template_id: &str, accepted: bool) -> Result<(), ControlError> {
        if accepted {
            self.grant(appid, openid, template_id, 1)?;
        }
        self.checked(appid, openid, template_id)?;
        let (openid, template_id) = (openid.to_owned(), template_id.to_owned());
        self.shared.push(PushEvent::Popup { openid, template_id, accepted }, appid);
        Ok(())
    }

    /// A user withdraws in the settings what they accepted: no grant of that template is left, and that is pushed.
    pub fn withdraw(&self, appid: &str, openid: &str, template_id: &str) -> Result<(), ControlError> {
        let app = self.checked(appid, openid, template_id)?;
        self.shared.world().apps[app].users.withdraw(openid, template_id);
        let (openid, template_id) = (openid.to_owned(), template_id.to_owned());
        self.shared.push(PushEvent::Withdrawn { openid, template_id }, appid);
        Ok(())
    }

    /// Checks the address as the console does when it is saved.
    pub fn check_callback(&self, appid: &str) -> Result<(), ControlError> {
        self.app(appid)?;
        self.shared.push(PushEvent::Check, appid);
        Ok(())
    }

    /// The last pushes that ended, oldest first, with what was answered.
    pub fn pushes(&self) -> Vec<Pushed> {
        self.shared.pushes.pushed()
    }

    fn checked(&self, appid: &str, openid: &str, template_id: &str) -> Result<usize, ControlError> {
        check_openid(openid)?;
        if template_id.is_empty() {
            return Err(ControlError::EmptyTemplate);
        }
        self.app(appid)
    }

    /// Kills the tokens an app holds, on both endpoints; sends with them answer as `death` says.
    pub fn expire_tokens(&self, appid: &str, death: TokenDeath) -> Result<(), ControlError> {
        let app = self.app(appid)?;
        let mut world = self.shared.world();
        let now_ms = self.shared.clock.now_ms();
        let world = &mut *world;
        token::kill(&mut world.apps[app].chains, &mut world.tokens, death, now_ms);
        Ok(())
    }

    /// At most `limit` deliveries after a number, 0 for the start; a page holds at most 10,000.
    pub fn log_since(&self, after: u64, limit: usize) -> LogPage {
        let page = self.shared.world().log.since(after, limit.min(LOG_PAGE_MAX));
        log::read(page)
    }

    /// All deliveries after a number, 0 for the start, that the log still holds.
    pub fn deliveries(&self, after: u64) -> Vec<Delivery> {
        let mut deliveries = Vec::new();
        let mut next = after;
        loop {
            // Page by page, so that no call waits behind the whole log.
            let page = self.log_since(next, LOG_PAGE_MAX);
            if page.deliveries.is_empty() {
                return deliveries;
            }
            next = page.next;
            deliveries.extend(page.deliveries);
        }
    }

    /// What was called since the start.
    pub fn counts(&self) -> Counts {
        self.shared.world().counters.read()
    }

    /// Replaces the fault rules; all counting begins anew, and so does the seed.
    pub fn set_faults(&self, faults: Vec<Fault>) -> Result<(), ControlError> {
        if faults.len() > FAULTS_MAX {
            let sentence = format!("{} fault rules were given, the most is {FAULTS_MAX}", faults.len());
            return Err(ControlError::WrongFault(sentence));
        }
        faults.iter().try_for_each(Fault::check).map_err(ControlError::WrongFault)?;
        self.shared.world().faults = Faults::new(faults, self.shared.seed);
        Ok(())
    }

    /// The fault rules in force, and how often each has struck.
    pub fn faults(&self) -> FaultReport {
        self.shared.world().faults.report()
    }

    /// Takes all fault rules back.
    pub fn clear_faults(&self) {
        self.shared.world().faults = Faults::default();
    }

    /// The sandbox's time in Unix milliseconds.
    pub fn now_ms(&self) -> i64 {
        self.shared.clock.now_ms()
    }

    /// Moves the clock, backwards when negative, and returns the new time in Unix milliseconds.
    pub fn advance_clock(&self, seconds: i64) -> Result<i64, ControlError> {
        if seconds.unsigned_abs() > CLOCK_STEP_SECONDS_MAX.unsigned_abs() {
            return Err(ControlError::WrongStep(seconds));
        }
        Ok(self.shared.clock.advance(seconds.saturating_mul(1_000)))
    }

    /// The appid meant by control calls that name none.
    pub(crate) fn default_appid(&self) -> String {
        self.shared.world().apps.first().map(|state| state.app.appid.clone()).unwrap_or_default()
    }

    /// Counts a connection and says whether a fault lets it in.
    pub(crate) fn admits_connection(&self) -> bool {
        let mut world = self.shared.world();
        let refused = world.faults.refuses_connection();
        world.counters.connections += 1;
        world.counters.refused += u64::from(refused);
        !refused
    }

    fn mint(&self, kind: PermitKind, appid: &str, openid: &str, count: u64) -> Result<Vec<String>, ControlError> {
        check_openid(openid)?;
        check_count(count)?;
        let app = self.app(appid)?;
        let ready_after_ms = i64::from(self.shared.rules.unknowns.prepay_id_ready_after_seconds) * 1_000;
        let mut world = self.shared.world();
        let now_ms = self.shared.clock.now_ms();
        let world = &mut *world;
        (0..count)
            .map(|_| world.permits.mint(kind, app, openid, ready_after_ms, now_ms, &mut world.random))
            .collect::<Option<Vec<String>>>()
            .ok_or(ControlError::Full)
    }

    fn app(&self, appid: &str) -> Result<usize, ControlError> {
        self.shared.world().app_index(appid).ok_or_else(|| ControlError::UnknownApp(appid.to_owned()))
    }
}

fn check_openid(openid: &str) -> Result<(), ControlError> {
    if is_openid(openid) { Ok(()) } else { Err(ControlError::WrongOpenid(openid.to_owned())) }
}

fn check_count(count: u64) -> Result<(), ControlError> {
    if (1..=MINT_COUNT_MAX).contains(&count) { Ok(()) } else { Err(ControlError::WrongCount(count)) }
}

impl fmt::Display for ControlError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownApp(appid) => write!(formatter, "the sandbox has no app `{appid}`"),
            Self::WrongOpenid(openid) => {
                write!(formatter, "`{openid}` is no openid, expected 1 to {OPENID_BYTES_MAX} visible ASCII characters")
            }
            Self::EmptyTemplate => formatter.write_str("`template_id` is empty, a grant is for one template"),
            Self::WrongCount(count) => write!(formatter, "`count` is {count}, expected 1 to {MINT_COUNT_MAX}"),
            Self::Full => formatter.write_str("the sandbox remembers as many users, grants or permits as it may"),
            Self::WrongFault(sentence) | Self::WrongCallback(sentence) => formatter.write_str(sentence),
            Self::WrongStep(seconds) => write!(
                formatter,
                "the clock cannot move by {seconds} seconds at once, the most is {CLOCK_STEP_SECONDS_MAX} either way"
            ),
        }
    }
}

impl Error for ControlError {}
