//! What an operator can have done, as values: what it is for, how it is asked about, what came of it.

use std::fmt;

use crate::dialog::Rule;
use crate::filter::Filter;
use crate::words::Word;

/// Refusals of single messages that are shown; the rest is counted.
const REFUSALS_SHOWN: usize = 3;

/// What is done to messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deed {
    /// Sent again.
    Retry,
    /// Withdrawn.
    Cancel,
    /// Stopped until they are released.
    Hold,
    /// Let go on.
    Release,
}

impl Deed {
    /// Its name in the API.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Deed::Retry => "retry",
            Deed::Cancel => "cancel",
            Deed::Hold => "hold",
            Deed::Release => "release",
        }
    }

    /// Whether a message in that state takes it, by the engine's table of moves.
    pub(crate) fn fits(self, state: &str) -> bool {
        match self {
            Deed::Retry => matches!(state, "held" | "failed" | "unknown" | "expired" | "cancelled"),
            Deed::Cancel => matches!(state, "scheduled" | "queued" | "waiting" | "held"),
            Deed::Hold => matches!(state, "scheduled" | "queued" | "waiting"),
            Deed::Release => state == "held",
        }
    }

    /// What becomes of a message.
    pub(crate) fn effect(self) -> Word {
        match self {
            Deed::Retry => Word::EffectRetry,
            Deed::Cancel => Word::EffectCancel,
            Deed::Hold => Word::EffectHold,
            Deed::Release => Word::EffectRelease,
        }
    }
}

/// What is done about when a schedule runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Timing {
    /// It runs now.
    Run,
    /// It runs no more.
    Pause,
    /// It runs again.
    Resume,
    /// Its next time is left out.
    Skip,
    /// No time of it is left out.
    Unskip,
    /// Its times of the past run no more.
    EndBackfill,
}

/// Something to have done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Act {
    /// Something to messages by id.
    Messages {
        /// What.
        deed: Deed,
        /// To which.
        ids: Vec<String>,
    },
    /// Something to every message that matches.
    Matching {
        /// What.
        deed: Deed,
        /// To which.
        filter: Filter,
    },
    /// A token fetched now.
    Token {
        /// Of which app.
        app: String,
    },
    /// Something about when a schedule runs.
    Schedule {
        /// What.
        timing: Timing,
        /// Of which.
        name: String,
    },
    /// Times of a schedule's past run, those that did not.
    Backfill {
        /// Of which.
        name: String,
        /// From then on: RFC 3339, or how long ago.
        from: String,
        /// Up to then; empty for now.
        to: String,
    },
    /// A webhook set going again, or posted one notice to try it.
    Webhook {
        /// To try it.
        test: bool,
        /// Which.
        name: String,
    },
    /// A run ended.
    Run {
        /// Which.
        id: String,
    },
    /// A credential taken in.
    Credential(Box<NewCredential>),
    /// A channel paused or resumed.
    Channel {
        /// Paused, or resumed.
        pause: bool,
        /// Which.
        name: String,
    },
}

impl Act {
    /// What it does, in a word or two.
    pub(crate) fn title(&self) -> Word {
        match self {
            Act::Messages { deed, .. } | Act::Matching { deed, .. } => match deed {
                Deed::Retry => Word::ActRetry,
                Deed::Cancel => Word::ActCancel,
                Deed::Hold => Word::ActHold,
                Deed::Release => Word::ActRelease,
            },
            Act::Token { .. } => Word::ActRefreshToken,
            Act::Schedule { timing, .. } => match timing {
                Timing::Run => Word::ActRunNow,
                Timing::Pause => Word::ActPause,
                Timing::Resume => Word::ActResume,
                Timing::Skip => Word::ActSkip,
                Timing::Unskip => Word::ActUnskip,
                Timing::EndBackfill => Word::ActEndBackfill,
            },
            Act::Backfill { .. } => Word::ActBackfill,
            Act::Webhook { test: false, .. } => Word::ActResume,
            Act::Webhook { test: true, .. } => Word::ActTestWebhook,
            Act::Run { .. } => Word::ActCancel,
            Act::Credential(_) => Word::ActAddCredential,
            Act::Channel { pause: true, .. } => Word::ActPause,
            Act::Channel { pause: false, .. } => Word::ActResume,
        }
    }

    /// What it is done to, as people name it.
    pub(crate) fn subject(&self) -> String {
        match self {
            Act::Messages { ids, .. } => ids.join(" "),
            Act::Matching { filter, .. } => filter.text(),
            Act::Token { app } => app.clone(),
            Act::Run { id } => id.clone(),
            Act::Schedule { name, .. } | Act::Backfill { name, .. } | Act::Webhook { name, .. } => name.clone(),
            Act::Credential(credential) => credential.source.clone(),
            Act::Channel { name, .. } => name.clone(),
        }
    }

    /// The key that confirms it: its own, in upper case, and never Enter.
    pub(crate) fn key(&self) -> char {
        match self {
            Act::Messages { deed, .. } => match deed {
                Deed::Retry => 'R',
                Deed::Cancel => 'C',
                Deed::Hold | Deed::Release => 'W',
            },
            Act::Matching { deed, .. } => match deed {
                Deed::Retry => 'Q',
                Deed::Cancel => 'C',
                Deed::Hold | Deed::Release => 'W',
            },
            Act::Token { .. } => 'R',
            Act::Schedule { timing, .. } => match timing {
                Timing::Run => 'T',
                Timing::Pause | Timing::Resume => 'P',
                Timing::Skip | Timing::Unskip => 'S',
                Timing::EndBackfill => 'B',
            },
            Act::Backfill { .. } => 'B',
            Act::Webhook { test: false, .. } => 'P',
            Act::Webhook { test: true, .. } => 'T',
            Act::Run { .. } => 'C',
            Act::Credential(_) => 'A',
            Act::Channel { .. } => 'P',
        }
    }

    /// What becomes of what it is done to, where the engine is not asked.
    pub(crate) fn effect(&self) -> Word {
        match self {
            Act::Messages { deed, .. } | Act::Matching { deed, .. } => deed.effect(),
            Act::Token { .. } => Word::EffectRefreshToken,
            Act::Schedule { timing, .. } => match timing {
                Timing::Run => Word::EffectRunNow,
                Timing::Pause => Word::EffectPauseSchedule,
                Timing::Resume => Word::EffectResumeSchedule,
                Timing::Skip => Word::EffectSkip,
                Timing::Unskip => Word::EffectUnskip,
                Timing::EndBackfill => Word::EffectEndBackfill,
            },
            Act::Backfill { .. } => Word::EffectBackfill,
            Act::Webhook { test: false, .. } => Word::EffectResumeWebhook,
            Act::Webhook { test: true, .. } => Word::EffectTestWebhook,
            Act::Run { .. } => Word::EffectCancelRun,
            Act::Credential(_) => Word::EffectAddCredential,
            Act::Channel { pause: true, .. } => Word::EffectPause,
            Act::Channel { pause: false, .. } => Word::EffectResume,
        }
    }

    /// A credential of which nothing is known yet.
    pub(crate) fn new_credential() -> Act {
        Act::Credential(Box::default())
    }

    /// Times of a schedule's past, of which nothing is known yet.
    pub(crate) fn backfill(name: &str) -> Act {
        Act::Backfill { name: name.to_owned(), from: String::new(), to: String::new() }
    }

    /// What has to be said of it first, and how.
    pub(crate) fn fields(&self) -> &'static [(Word, Rule)] {
        match self {
            Act::Credential(_) => &[
                (Word::FieldSource, Rule::Needed),
                (Word::FieldApp, Rule::Free),
                (Word::FieldCredential, Rule::Secret),
            ],
            Act::Backfill { .. } => &[(Word::FieldFrom, Rule::Needed), (Word::FieldTo, Rule::Free)],
            _ => &[],
        }
    }

    /// The same with what was said of it.
    pub(crate) fn filled(&self, said: &[(Word, String)]) -> Act {
        let get =
            |label| said.iter().find(|(word, _)| *word == label).map(|(_, text)| text.clone()).unwrap_or_default();
        match self {
            Act::Credential(_) => Act::Credential(Box::new(NewCredential {
                source: get(Word::FieldSource),
                app: get(Word::FieldApp),
                fields: Secret(get(Word::FieldCredential)),
            })),
            Act::Backfill { name, .. } => {
                Act::Backfill { name: name.clone(), from: get(Word::FieldFrom), to: get(Word::FieldTo) }
            }
            act => act.clone(),
        }
    }

    /// Whether a reason can be given for it.
    pub(crate) fn takes_reason(&self) -> bool {
        !matches!(self, Act::Credential(_) | Act::Webhook { test: true, .. })
    }

    /// Whether the engine is asked first what it would do.
    pub(crate) fn needs_plan(&self) -> bool {
        matches!(self, Act::Matching { .. } | Act::Backfill { .. })
    }

    /// Whether it wants a reason.
    pub(crate) fn needs_reason(&self) -> bool {
        matches!(
            self,
            Act::Channel { pause: true, .. } | Act::Schedule { timing: Timing::Pause, .. } | Act::Backfill { .. }
        )
    }
}

/// A credential to take in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct NewCredential {
    /// Its source: `wechat.form_id`.
    pub(crate) source: String,
    /// The app it is for; empty where one alone takes its source.
    pub(crate) app: String,
    /// Its fields as they were typed.
    pub(crate) fields: Secret,
}

/// Text that nobody is shown.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Secret(String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl Secret {
    /// The names and values in it: `form_id=… openId=…`.
    pub(crate) fn pairs(&self) -> Vec<(String, String)> {
        let words = self.0.split_whitespace();
        let pairs = words.filter_map(|word| word.split_once('='));
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    /// Whether that is names and values, and nothing else.
    pub(crate) fn is_pairs(text: &str) -> bool {
        let is_pair =
            |word: &str| word.split_once('=').is_some_and(|(name, value)| !name.is_empty() && !value.is_empty());
        !text.trim().is_empty() && text.split_whitespace().all(is_pair)
    }
}

/// What an act would do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// To how many.
    pub(crate) count: u64,
    /// What becomes of them, in the engine's words; `None` where our own say it.
    pub(crate) effect: Option<String>,
    /// They by state and channel: a count, a state, a channel.
    pub(crate) groups: Vec<(u64, String, String)>,
    /// Some of them: id, recipient, template.
    pub(crate) sample: Vec<(String, String, String)>,
    /// The times of a schedule among which they are.
    pub(crate) times: Option<Box<Times>>,
    /// How fast they go, and for how many seconds.
    pub(crate) pace: Option<(String, u64)>,
    /// Whether they may arrive twice.
    pub(crate) may_arrive_twice: bool,
    /// Where to begin.
    pub(crate) place: Place,
}

/// Times of a schedule's past.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Times {
    /// How many.
    pub(crate) count: u64,
    /// How many of them ran already.
    pub(crate) ran: u64,
    /// Some of them.
    pub(crate) sample: Vec<String>,
}

impl Plan {
    /// Of something that is done to so many things that are named already.
    pub(crate) fn of(count: usize) -> Plan {
        Plan { count: u64::try_from(count).unwrap_or(u64::MAX), ..Plan::default() }
    }
}

impl From<tidings_api::wire::BulkPlan> for Plan {
    fn from(plan: tidings_api::wire::BulkPlan) -> Plan {
        Plan {
            count: plan.count,
            effect: Some(plan.effect),
            groups: plan.groups.into_iter().map(|group| (group.count, group.state, group.channel)).collect(),
            sample: plan.sample.into_iter().map(|message| (message.id, message.to, message.template)).collect(),
            times: None,
            pace: plan.rate.zip(plan.takes_s),
            may_arrive_twice: plan.may_arrive_twice,
            place: plan.next.map_or_else(Place::default, Place::Cursor),
        }
    }
}

impl From<tidings_api::wire::BackfillReply> for Plan {
    fn from(reply: tidings_api::wire::BackfillReply) -> Plan {
        Plan {
            count: reply.times.saturating_sub(reply.ran),
            times: Some(Box::new(Times { count: reply.times, ran: reply.ran, sample: reply.sample })),
            ..Plan::default()
        }
    }
}

/// Where an act goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// At one of several things that are named.
    Index(usize),
    /// Where the engine said.
    Cursor(String),
}

impl Place {
    /// The thing it is at.
    pub(crate) fn index(&self) -> usize {
        match self {
            Place::Index(index) => *index,
            Place::Cursor(_) => 0,
        }
    }
}

impl Default for Place {
    fn default() -> Place {
        Place::Index(0)
    }
}

/// What came of one call.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Step {
    /// What it moved.
    pub(crate) moved: u64,
    /// What somebody else had moved meanwhile.
    pub(crate) passed_over: u64,
    /// What waits for the next call.
    pub(crate) left: u64,
    /// Why one was refused.
    pub(crate) refused: Option<String>,
    /// Where the next call goes on; `None` at the end.
    pub(crate) next: Option<Place>,
}

/// What came of an act so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// What it moved.
    pub(crate) moved: u64,
    /// What somebody else had moved meanwhile.
    pub(crate) passed_over: u64,
    /// What is left.
    pub(crate) left: u64,
    /// How many were refused.
    pub(crate) refused: u64,
    /// Why the first of them were.
    pub(crate) refusals: Vec<String>,
}

impl Progress {
    /// Takes what came of the next call.
    pub(crate) fn take(&mut self, step: &Step) {
        self.moved = self.moved.saturating_add(step.moved);
        self.passed_over = self.passed_over.saturating_add(step.passed_over);
        self.left = step.left;
        if let Some(refused) = &step.refused {
            self.refused += 1;
            if self.refusals.len() < REFUSALS_SHOWN {
                self.refusals.push(refused.clone());
            }
        }
    }
}
