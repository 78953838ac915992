//! `tidings plugin check`: a verdict for each thing that Tidings relies on.

use std::path::Path;
use std::time::Instant;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use tidings_host::check::{Asked, Given, RULES, Rule, Verdict};
use tidings_model::spelling::nearest;

use super::trial::{self, Tried};
use crate::args::PluginCheckArgs;
use crate::{Failure, Outcome, output};

/// The columns of a verdict and of a rule's name.
const VERDICT_WIDTH: usize = 8;

/// What `--values` may have.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Values {
    app: Map<String, Value>,
    template: Map<String, Value>,
    credential: Map<String, Value>,
    recipient: Option<String>,
}

/// The rules, for `--help`.
pub(crate) fn rules() -> String {
    let width = name_width();
    let mut text = "Rules:\n".to_owned();
    for rule in RULES {
        text.push_str(&format!("  {:width$}  {}\n", rule.name, rule.about));
    }
    text
}

fn name_width() -> usize {
    RULES.iter().map(|rule| rule.name.len()).max().unwrap_or(0)
}

/// The rule of that name.
pub(super) fn rule_of(name: &str) -> Result<&'static Rule, Failure> {
    RULES.iter().find(|rule| rule.name == name).ok_or_else(|| no_rule(name))
}

fn no_rule(name: &str) -> Failure {
    let names: Vec<&str> = RULES.iter().map(|rule| rule.name).collect();
    let hint = nearest(name, &names).map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
    Failure::Usage(format!("no rule has `{name}` in its name{hint} `tidings plugin check --help` has them all"))
}

/// What `--values` gives.
pub(super) fn values(path: Option<&Path>) -> Result<Given, Failure> {
    let Some(path) = path else { return Ok(Given::default()) };
    let wrong = |error: String| Failure::Usage(format!("`--values {}`: {error}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    let values: Values = toml::from_str(&text).map_err(|error| wrong(error.to_string()))?;
    let Values { app, template, credential, recipient } = values;
    Ok(Given { app, template, credential, recipient })
}

pub(super) fn check(args: &PluginCheckArgs) -> Outcome {
    let pattern = args.only.as_deref().unwrap_or_default();
    let exact = RULES.iter().any(|rule| rule.name == pattern);
    let is_asked = |rule: &&Rule| if exact { rule.name == pattern } else { rule.name.contains(pattern) };
    let rules: Vec<&Rule> = RULES.iter().filter(is_asked).collect();
    if rules.is_empty() {
        return Err(no_rule(pattern));
    }
    // Found out once, and not by each rule.
    if let Err(error) = std::fs::metadata(&args.file) {
        return Err(Failure::Usage(format!("`{}`: {error}", args.file.display())));
    }
    let asked = Asked { file: args.file.clone(), seed: args.seed, given: values(args.values.as_deref())? };
    let mut counts = Counts::default();
    let mut ground_lost = None;
    for rule in rules {
        let begun = Instant::now();
        let tried = if let Some(lost) = ground_lost {
            Tried::Verdict(Verdict::Skip(format!("`{lost}` does not hold")))
        } else if args.in_process {
            Tried::Verdict(rule.run(&asked, &mut |what| eprintln!("{}: {what}", rule.name)))
        } else {
            trial::in_own_process(rule, &asked, args.values.as_ref())?
        };
        let told = Told { rule, tried: &tried, again: again(args, rule) };
        counts.count(&told);
        if rule.is_ground() && !told.holds() {
            ground_lost = Some(rule.name);
        }
        if args.json { told.json(begun)? } else { told.line()? }
    }
    counts.told(args)
}

/// The command that tries a rule again, where a debugger can see it.
fn again(args: &PluginCheckArgs, rule: &Rule) -> String {
    let mut command = format!("tidings plugin check {} --only {} --in-process", quoted(&args.file), rule.name);
    if args.seed != 1 {
        command.push_str(&format!(" --seed {}", args.seed));
    }
    if let Some(values) = &args.values {
        command.push_str(&format!(" --values {}", quoted(values)));
    }
    command
}

/// A path as a shell reads it.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = text.chars().all(|c| c.is_alphanumeric() || "/._-+=,:@%".contains(c));
    if is_plain { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

/// A rule and what came of it.
struct Told<'t> {
    rule: &'t Rule,
    tried: &'t Tried,
    again: String,
}

impl Told<'_> {
    fn verdict(&self) -> &'static str {
        match self.tried {
            Tried::Verdict(Verdict::Ok) => "ok",
            Tried::Verdict(Verdict::Warn(_)) => "warn",
            Tried::Verdict(Verdict::Fail(_)) => "fail",
            Tried::Verdict(Verdict::Skip(_)) => "skip",
            Tried::Crashed(_) => "crashed",
            Tried::Hung(_) => "hung",
        }
    }

    /// What was seen; empty where all is well.
    fn what(&self) -> &str {
        match self.tried {
            Tried::Verdict(Verdict::Ok) => "",
            Tried::Verdict(Verdict::Warn(what) | Verdict::Fail(what) | Verdict::Skip(what))
            | Tried::Crashed(what)
            | Tried::Hung(what) => what,
        }
    }

    fn holds(&self) -> bool {
        !matches!(self.tried, Tried::Verdict(Verdict::Fail(_)) | Tried::Crashed(_) | Tried::Hung(_))
    }

    fn line(&self) -> Outcome {
        let width = name_width();
        let verdict = self.verdict();
        output::line(&format!("{verdict:VERDICT_WIDTH$}{:width$}  {}", self.rule.name, self.rule.about))?;
        if self.what().is_empty() || matches!(self.tried, Tried::Verdict(Verdict::Skip(_))) {
            return Ok(());
        }
        for line in self.what().lines() {
            output::line(&format!("{:VERDICT_WIDTH$}{}", "", output::clean(line)))?;
        }
        if self.holds() {
            return Ok(());
        }
        output::line(&format!("{:VERDICT_WIDTH$}again: {}", "", self.again))
    }

    fn json(&self, begun: Instant) -> Outcome {
        output::json(&json!({
            "rule": self.rule.name, "about": self.rule.about, "verdict": self.verdict(), "what": self.what(),
            "took_ms": u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
            "again": if self.holds() { None } else { Some(&self.again) },
        }))
    }
}

/// Rules by verdict.
#[derive(Default)]
struct Counts {
    by_verdict: std::collections::BTreeMap<&'static str, usize>,
    broken: usize,
}

impl Counts {
    fn count(&mut self, told: &Told<'_>) {
        *self.by_verdict.entry(told.verdict()).or_default() += 1;
        self.broken += usize::from(!told.holds());
    }

    fn told(self, args: &PluginCheckArgs) -> Outcome {
        if args.json {
            output::json(&json!({"file": args.file, "holds": self.broken == 0, "counts": self.by_verdict}))?;
        } else {
            let order = ["ok", "warn", "skip", "fail", "crashed", "hung"];
            let counts = order.iter().filter_map(|verdict| Some((verdict, self.by_verdict.get(verdict)?)));
            let counts: Vec<String> = counts.map(|(verdict, count)| format!("{count} {verdict}")).collect();
            output::line(&format!("\n{}: {}", args.file.display(), counts.join(", ")))?;
        }
        match self.broken {
            0 => Ok(()),
            1 => Err(Failure::Failed("a rule does not hold".to_owned())),
            broken => Err(Failure::Failed(format!("{broken} rules do not hold"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_rules_are_told_apart_and_sentences_are_short() {
        for (place, rule) in RULES.iter().enumerate() {
            assert!(RULES[..place].iter().all(|other| other.name != rule.name), "{}", rule.name);
            assert!(rule.about.len() < 110, "{}", rule.about);
        }
    }

    #[test]
    fn a_path_is_quoted_where_a_shell_would_break_it() {
        assert_eq!(quoted(Path::new("target/release/liba_b.so")), "target/release/liba_b.so");
        assert_eq!(quoted(Path::new("a b/it's")), r"'a b/it'\''s'");
    }
}
