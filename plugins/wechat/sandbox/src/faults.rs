//! Faults: the rules as written in a file or a control call, and which of them a call meets.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::limits::LATENCY_MS_MAX;
use crate::log::Api;
use crate::random::SplitMix;

/// A file of fault rules: `[[faults]]` tables in TOML.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultFile {
    /// The rules, in order of precedence.
    #[serde(default)]
    pub faults: Vec<Fault>,
}

/// One rule: what goes wrong, where, and how often.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Fields", into = "Fields")]
pub struct Fault {
    /// The endpoint it strikes; none means every sending endpoint. A "refuse" has none: it strikes connections.
    pub api: Option<Api>,
    /// What goes wrong.
    pub kind: FaultKind,
    /// Which of the matching calls it strikes.
    pub when: When,
    /// How often in all; none means without end.
    pub times: Option<u64>,
}

/// What goes wrong. Where a kind says `commit`, true means the server did its work first and only the reply is spoiled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FaultKind {
    /// The work is done at once, the reply comes so many milliseconds late.
    Latency {
        /// How late.
        ms: u64,
    },
    /// The connection is accepted and closed at once. Matching calls are connections, control ones included.
    Refuse,
    /// An HTTP status with a body of plain text, as a gateway in front would give.
    Status {
        /// The status.
        status: u16,
        /// The body.
        body: String,
        /// Whether the work is done first.
        commit: bool,
    },
    /// A refusal by errcode, without any effect.
    Errcode {
        /// The code; never 0.
        errcode: i64,
        /// Its text; a rid is added.
        errmsg: String,
    },
    /// The connection closes without a reply and without any effect.
    ResetBeforeCommit,
    /// Everything is done and logged, then the connection closes without a byte of reply.
    DropReply,
    /// A reply that is not JSON.
    Garbage {
        /// Whether the work is done first.
        commit: bool,
    },
    /// A reply of ten megabytes: well-formed, and true (-1 without `commit`, 0 with it).
    Huge {
        /// Whether the work is done first.
        commit: bool,
    },
    /// The work is done, and the true reply carries raw control bytes inside a JSON string (`wechat.md §0`).
    ControlCharacters,
}

/// Which of the matching calls a rule strikes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum When {
    /// Each Nth, counted from when the rule was set; 1 is every call.
    Every(u64),
    /// Each with this chance, between 0 and 1, drawn from the seed.
    Probability(f64),
}

/// The rules in force and how often each has struck.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FaultReport {
    /// The rules, as they were set.
    pub faults: Vec<Fault>,
    /// Strikes, one number for each rule.
    pub struck: Vec<u64>,
}

impl FaultKind {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Latency { .. } => "latency",
            Self::Refuse => "refuse",
            Self::Status { .. } => "status",
            Self::Errcode { .. } => "errcode",
            Self::ResetBeforeCommit => "reset_before_commit",
            Self::DropReply => "drop_reply",
            Self::Garbage { .. } => "garbage",
            Self::Huge { .. } => "huge",
            Self::ControlCharacters => "control_characters",
        }
    }

    /// Whether the server does its work under this fault.
    pub(crate) fn commits(&self) -> bool {
        match self {
            Self::Latency { .. } | Self::DropReply | Self::ControlCharacters => true,
            Self::Refuse | Self::Errcode { .. } | Self::ResetBeforeCommit => false,
            Self::Status { commit, .. } | Self::Garbage { commit } | Self::Huge { commit } => *commit,
        }
    }

    /// Whether the caller cannot learn the truth from the reply.
    pub(crate) fn hides_reply(&self) -> bool {
        matches!(self, Self::DropReply | Self::Status { .. } | Self::Garbage { .. })
    }
}

/// What one call meets.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub(crate) latency_ms: u64,
    pub(crate) kind: Option<Arc<FaultKind>>,
}

/// The rules in force.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    rules: Vec<Rule>,
}

#[derive(Debug)]
struct Rule {
    api: Option<Api>,
    kind: Arc<FaultKind>,
    when: When,
    times: Option<u64>,
    seen: u64,
    struck: u64,
    // Each rule draws from its own stream: adding a rule at the end changes nothing for those before it.
    random: SplitMix,
}

impl Faults {
    pub(crate) fn new(faults: Vec<Fault>, seed: u64) -> Self {
        let mut seeds = SplitMix::new(seed);
        let rules = faults.into_iter().map(|fault| Rule {
            api: fault.api,
            kind: Arc::new(fault.kind),
            when: fault.when,
            times: fault.times,
            seen: 0,
            struck: 0,
            random: SplitMix::new(seeds.next()),
        });
        Self { rules: rules.collect() }
    }

    /// Latencies add up; of the others the first rule that is due strikes. Every matching rule counts the call, struck or
    /// not, so that what a rule does depends on the calls alone and not on its neighbours.
    pub(crate) fn plan(&mut self, api: Api) -> Plan {
        let mut plan = Plan::default();
        for rule in self.rules.iter_mut().filter(|rule| rule.matches(api)) {
            if !rule.is_due() {
                continue;
            }
            match &*rule.kind {
                FaultKind::Latency { ms } => {
                    plan.latency_ms = plan.latency_ms.saturating_add(*ms);
                    rule.struck += 1;
                }
                _ if plan.kind.is_none() => {
                    plan.kind = Some(Arc::clone(&rule.kind));
                    rule.struck += 1;
                }
                _ => {}
            }
        }
        plan
    }

    /// Whether a connection just accepted is closed at once.
    pub(crate) fn refuses_connection(&mut self) -> bool {
        let mut refused = false;
        for rule in self.rules.iter_mut().filter(|rule| *rule.kind == FaultKind::Refuse) {
            if rule.is_due() && !refused {
                rule.struck += 1;
                refused = true;
            }
        }
        refused
    }

    pub(crate) fn report(&self) -> FaultReport {
        FaultReport {
            faults: self.rules.iter().map(Rule::to_fault).collect(),
            struck: self.rules.iter().map(|rule| rule.struck).collect(),
        }
    }
}

impl Rule {
    fn matches(&self, api: Api) -> bool {
        *self.kind != FaultKind::Refuse && self.api.map_or(api.is_send(), |named| named == api)
    }

    /// Counts a matching call and says whether it is one to strike.
    fn is_due(&mut self) -> bool {
        self.seen += 1;
        let chosen = match self.when {
            When::Every(every) => self.seen.is_multiple_of(every),
            When::Probability(probability) => self.random.next_unit() < probability,
        };
        chosen && self.times.is_none_or(|times| self.struck < times)
    }

    fn to_fault(&self) -> Fault {
        Fault { api: self.api, kind: (*self.kind).clone(), when: self.when, times: self.times }
    }
}

impl Fault {
    /// Says what is wrong with a rule that was built by hand; those read from text were checked on the way in.
    pub(crate) fn check(&self) -> Result<(), String> {
        match self.kind {
            FaultKind::Refuse if self.api.is_some() => {
                return Err("`refuse` takes no `api`: a connection is refused before its request is known".to_owned());
            }
            FaultKind::Latency { ms } if ms > LATENCY_MS_MAX => {
                return Err(format!("`ms` is {ms}, the most is {LATENCY_MS_MAX}"));
            }
            FaultKind::Status { status, .. } if !(200..=599).contains(&status) => {
                return Err(format!("`status` is {status}, expected 200 to 599"));
            }
            FaultKind::Errcode { errcode: 0, .. } => {
                return Err("`errcode` is 0, which is success; name another".to_owned());
            }
            _ => {}
        }
        match self.when {
            When::Every(0) => Err("`every` is 0, expected 1 or more".to_owned()),
            When::Probability(chance) if !(0.0..=1.0).contains(&chance) => {
                Err(format!("`probability` is {chance}, expected 0 to 1"))
            }
            _ => Ok(()),
        }
    }

    /// Whether the rule would refuse every connection without end, the one that takes it back included.
    pub(crate) fn locks_out(&self) -> bool {
        let always = match self.when {
            When::Every(every) => every == 1,
            When::Probability(chance) => chance >= 1.0,
        };
        self.kind == FaultKind::Refuse && self.times.is_none() && always
    }
}

/// A rule as it is written: flat, so that a field out of place can be named.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    kind: KindName,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    api: Option<Api>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    body: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    errcode: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    errmsg: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    commit: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    every: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    probability: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    times: Option<u64>,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum KindName {
    Latency,
    Refuse,
    Status,
    Errcode,
    ResetBeforeCommit,
    DropReply,
    Garbage,
    Huge,
    ControlCharacters,
}

impl TryFrom<Fields> for Fault {
    type Error = String;

    fn try_from(mut fields: Fields) -> Result<Self, String> {
        let kind = take_kind(&mut fields)?;
        let left_over = [
            ("ms", fields.ms.is_some()),
            ("status", fields.status.is_some()),
            ("body", fields.body.is_some()),
            ("errcode", fields.errcode.is_some()),
            ("errmsg", fields.errmsg.is_some()),
            ("commit", fields.commit.is_some()),
        ];
        if let Some((field, _)) = left_over.into_iter().find(|(_, present)| *present) {
            return Err(format!("`{}` takes no `{field}`", kind.name()));
        }
        let when = match (fields.every, fields.probability) {
            (Some(_), Some(_)) => return Err("a rule has `every` or `probability`, not both".to_owned()),
            (every, None) => When::Every(every.unwrap_or(1)),
            (None, Some(probability)) => When::Probability(probability),
        };
        let fault = Self { api: fields.api, kind, when, times: fields.times };
        fault.check().map(|()| fault)
    }
}

/// Takes the fields that belong to the kind; what remains belongs to no one.
fn take_kind(fields: &mut Fields) -> Result<FaultKind, String> {
    let commit = match fields.kind {
        KindName::Status | KindName::Garbage | KindName::Huge => fields.commit.take().unwrap_or(false),
        _ => false,
    };
    Ok(match fields.kind {
        KindName::Latency => FaultKind::Latency { ms: fields.ms.take().ok_or("`latency` needs `ms`")? },
        KindName::Refuse => FaultKind::Refuse,
        KindName::Status => FaultKind::Status {
            status: fields.status.take().ok_or("`status` needs `status`")?,
            body: fields.body.take().unwrap_or_default(),
            commit,
        },
        KindName::Errcode => FaultKind::Errcode {
            errcode: fields.errcode.take().ok_or("`errcode` needs `errcode`")?,
            errmsg: fields.errmsg.take().unwrap_or_else(|| "injected".to_owned()),
        },
        KindName::ResetBeforeCommit => FaultKind::ResetBeforeCommit,
        KindName::DropReply => FaultKind::DropReply,
        KindName::Garbage => FaultKind::Garbage { commit },
        KindName::Huge => FaultKind::Huge { commit },
        KindName::ControlCharacters => FaultKind::ControlCharacters,
    })
}

impl From<Fault> for Fields {
    fn from(fault: Fault) -> Self {
        let mut fields = Self {
            kind: KindName::Refuse,
            api: fault.api,
            ms: None,
            status: None,
            body: None,
            errcode: None,
            errmsg: None,
            commit: None,
            every: None,
            probability: None,
            times: fault.times,
        };
        match fault.when {
            When::Every(every) => fields.every = Some(every),
            When::Probability(probability) => fields.probability = Some(probability),
        }
        fields.kind = match fault.kind {
            FaultKind::Latency { ms } => {
                fields.ms = Some(ms);
                KindName::Latency
            }
            FaultKind::Refuse => KindName::Refuse,
            FaultKind::Status { status, body, commit } => {
                (fields.status, fields.body, fields.commit) = (Some(status), Some(body), Some(commit));
                KindName::Status
            }
            FaultKind::Errcode { errcode, errmsg } => {
                (fields.errcode, fields.errmsg) = (Some(errcode), Some(errmsg));
                KindName::Errcode
            }
            FaultKind::ResetBeforeCommit => KindName::ResetBeforeCommit,
            FaultKind::DropReply => KindName::DropReply,
            FaultKind::Garbage { commit } => {
                fields.commit = Some(commit);
                KindName::Garbage
            }
            FaultKind::Huge { commit } => {
                fields.commit = Some(commit);
                KindName::Huge
            }
            FaultKind::ControlCharacters => KindName::ControlCharacters,
        };
        fields
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(text: &str) -> Result<Fault, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn a_rule_written_out_reads_back_the_same() {
        for text in [
            r#"{"kind":"latency","api":"token","ms":5,"every":3,"times":2}"#,
            r#"{"kind":"status","status":502,"body":"bad gateway","probability":0.5}"#,
            r#"{"kind":"errcode","errcode":-1,"errmsg":"system error"}"#,
            r#"{"kind":"refuse","times":1}"#,
            r#"{"kind":"huge","commit":true}"#,
            r#"{"kind":"control_characters"}"#,
        ] {
            let fault = rule(text).unwrap();
            let again = rule(&serde_json::to_string(&fault).unwrap()).unwrap();
            assert_eq!(fault, again);
        }
    }

    #[test]
    fn a_rule_that_makes_no_sense_says_why() {
        for (text, expected) in [
            (r#"{"kind":"latency"}"#, "needs `ms`"),
            (r#"{"kind":"garbage","ms":1}"#, "takes no `ms`"),
            (r#"{"kind":"drop_reply","commit":true}"#, "takes no `commit`"),
            (r#"{"kind":"refuse","api":"token"}"#, "takes no `api`"),
            (r#"{"kind":"errcode","errcode":0}"#, "which is success"),
            (r#"{"kind":"status","status":99}"#, "expected 200 to 599"),
            (r#"{"kind":"garbage","every":0}"#, "expected 1 or more"),
            (r#"{"kind":"garbage","probability":1.5}"#, "expected 0 to 1"),
            (r#"{"kind":"garbage","every":2,"probability":0.5}"#, "not both"),
            (r#"{"kind":"garbage","evry":2}"#, "unknown field `evry`"),
            (r#"{"kind":"gremlins"}"#, "unknown variant `gremlins`"),
        ] {
            let error = rule(text).unwrap_err();
            assert!(error.contains(expected), "{text} said {error:?}");
        }
    }

    #[test]
    fn every_nth_matching_call_is_struck_until_the_times_are_up() {
        let mut faults = Faults::new(vec![rule(r#"{"kind":"garbage","every":3,"times":2}"#).unwrap()], 0);
        let struck: Vec<bool> = (0..12).map(|_| faults.plan(Api::Template).kind.is_some()).collect();
        let positions: Vec<usize> = (0..12).filter(|index| struck[*index]).collect();
        assert_eq!(positions, [2, 5]);
    }

    #[test]
    fn a_rule_without_an_api_strikes_sends_and_not_tokens() {
        let mut faults = Faults::new(vec![rule(r#"{"kind":"garbage"}"#).unwrap()], 0);
        assert!(faults.plan(Api::Token).kind.is_none());
        assert!(faults.plan(Api::StableToken).kind.is_none());
        assert!(faults.plan(Api::Subscribe).kind.is_some());
    }

    #[test]
    fn the_same_seed_strikes_the_same_calls_and_another_seed_others() {
        let strikes = |seed| {
            let mut faults = Faults::new(vec![rule(r#"{"kind":"garbage","probability":0.3}"#).unwrap()], seed);
            (0..200).map(|_| faults.plan(Api::Template).kind.is_some()).collect::<Vec<bool>>()
        };
        assert_eq!(strikes(7), strikes(7));
        assert_ne!(strikes(7), strikes(8));
        let count = strikes(7).into_iter().filter(|struck| *struck).count();
        assert!((30..=90).contains(&count), "{count} of 200 at 0.3");
    }

    #[test]
    fn latencies_add_up_beside_another_fault() {
        let rules = [r#"{"kind":"latency","ms":5}"#, r#"{"kind":"garbage"}"#, r#"{"kind":"latency","ms":7}"#];
        let mut faults = Faults::new(rules.iter().map(|text| rule(text).unwrap()).collect(), 0);
        let plan = faults.plan(Api::Template);
        assert_eq!(plan.latency_ms, 12);
        assert_eq!(plan.kind.as_deref(), Some(&FaultKind::Garbage { commit: false }));
    }
}
