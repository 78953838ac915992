//! Why a call into a plugin gave no result.

use std::fmt;
use std::time::Duration;

use tidings_sdk::Violation;

/// Why a call into a plugin gave no result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// The plugin is not called any more until the engine is started again.
    Parked {
        /// The plugin.
        plugin: &'static str,
        /// Why.
        reason: String,
    },
    /// No answer within the time there was.
    Late {
        /// The plugin.
        plugin: &'static str,
        /// The function that was called.
        function: &'static str,
        /// The time there was.
        wait: Duration,
    },
    /// As many calls wait for the plugin as may.
    Full {
        /// The plugin.
        plugin: &'static str,
        /// How many wait.
        waiting: usize,
    },
    /// The plugin broke down in this call.
    Panicked {
        /// The plugin.
        plugin: &'static str,
        /// The function that was called.
        function: &'static str,
    },
    /// The plugin says that it is at fault; its log says why.
    Failed {
        /// The plugin.
        plugin: &'static str,
        /// The function that was called.
        function: &'static str,
    },
    /// The plugin broke the contract.
    Misshapen {
        /// The plugin.
        plugin: &'static str,
        /// The function that was called.
        function: &'static str,
        /// What it did: "put a url that is not http:// or https://".
        what: String,
    },
    /// The plugin says that what it was given is at fault, and why.
    Refused(String),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::Parked { plugin, reason } => write!(f, "plugin `{plugin}` is parked: {reason}"),
            Trouble::Late { plugin, function, wait } => {
                write!(f, "plugin `{plugin}` gave no answer to `{function}` within {}", spoken(*wait))
            }
            Trouble::Full { plugin, waiting } => {
                write!(f, "plugin `{plugin}` is too slow: {waiting} calls wait for it, and no more may")
            }
            Trouble::Panicked { plugin, function } => {
                write!(f, "plugin `{plugin}` panicked in `{function}`; see the log, and tell its author")
            }
            Trouble::Failed { plugin, function } => {
                write!(f, "plugin `{plugin}` failed in `{function}`; see the log")
            }
            Trouble::Misshapen { plugin, function, what } => {
                write!(f, "plugin `{plugin}` broke the contract in `{function}`: it {what}; tell its author")
            }
            Trouble::Refused(problem) => f.write_str(problem),
        }
    }
}

impl std::error::Error for Trouble {}

/// Why there is no instance of a stage for an app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OpenError {
    /// The plugin says what is wrong with the app's settings.
    Settings(Vec<Violation>),
    /// It said nothing of use.
    Trouble(Trouble),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpenError::Settings(problems) => f.write_str(&sentence(problems)),
            OpenError::Trouble(trouble) => trouble.fmt(f),
        }
    }
}

impl std::error::Error for OpenError {}

/// Why a template was not filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RenderTrouble {
    /// The template or its data is at fault.
    Violation(Violation),
    /// The plugin is at fault.
    Trouble(Trouble),
}

impl fmt::Display for RenderTrouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RenderTrouble::Violation(violation) => f.write_str(&sentence(std::slice::from_ref(violation))),
            RenderTrouble::Trouble(trouble) => trouble.fmt(f),
        }
    }
}

impl std::error::Error for RenderTrouble {}

/// Inside the host: a refusal keeps its problems apart.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    Refused(Vec<Violation>),
    Trouble(Trouble),
}

impl From<Trouble> for Fault {
    fn from(trouble: Trouble) -> Fault {
        Fault::Trouble(trouble)
    }
}

impl From<Fault> for Trouble {
    fn from(fault: Fault) -> Trouble {
        match fault {
            Fault::Refused(problems) => Trouble::Refused(sentence(&problems)),
            Fault::Trouble(trouble) => trouble,
        }
    }
}

/// Problems as one sentence.
fn sentence(problems: &[Violation]) -> String {
    let told = problems.iter().map(|Violation { field, problem }| match field.as_str() {
        "" => problem.clone(),
        field => format!("{field}: {problem}"),
    });
    let told: Vec<String> = told.collect();
    told.join("; ")
}

/// A duration as people say it: `10 s`, `250 ms`.
pub(crate) fn spoken(wait: Duration) -> String {
    if wait.subsec_millis() == 0 && wait.as_secs() > 0 {
        format!("{} s", wait.as_secs())
    } else {
        format!("{} ms", wait.as_millis())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_is_a_sentence_that_names_the_plugin() {
        let late = Trouble::Late { plugin: "acme", function: "request", wait: Duration::from_secs(10) };
        assert_eq!(late.to_string(), "plugin `acme` gave no answer to `request` within 10 s");
        let what = "put a url that is not http:// or https://".to_owned();
        let misshapen = Trouble::Misshapen { plugin: "acme", function: "request", what };
        assert!(misshapen.to_string().starts_with("plugin `acme` broke the contract in `request`: it put a url"));
    }

    #[test]
    fn a_refusal_becomes_one_sentence() {
        let problems = vec![Violation::new("data.a", "is too long"), Violation::new("", "and so on")];
        assert_eq!(Trouble::from(Fault::Refused(problems)).to_string(), "data.a: is too long; and so on");
    }
}
