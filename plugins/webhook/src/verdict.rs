//! What an answer may mean, in the words of config: `codes` and `statuses` of an app.

use std::time::Duration;

use tidings_sdk::{App, Outcome, spelling};

/// How long an answer may ask to wait: longer is no wait, it is a mistake in the unit.
pub(crate) const WAIT_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// What an answer means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) word: Word,
    /// How long to wait where the answer does not say: `throttled 1m`.
    pub(crate) wait: Option<Duration>,
}

/// The outcomes that a provider without credentials and tokens has, by the engine's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Word {
    Accepted,
    Duplicate,
    Rejected,
    RecipientGone,
    Throttled,
    QuotaExhausted,
    Retry,
    Unknown,
    TemplateBroken,
    Halt,
}

impl Word {
    const ALL: [(&'static str, Word); 10] = [
        ("accepted", Word::Accepted),
        ("duplicate", Word::Duplicate),
        ("rejected", Word::Rejected),
        ("recipient_gone", Word::RecipientGone),
        ("throttled", Word::Throttled),
        ("quota_exhausted", Word::QuotaExhausted),
        ("retry", Word::Retry),
        ("unknown", Word::Unknown),
        ("template_broken", Word::TemplateBroken),
        ("halt", Word::Halt),
    ];
}

impl From<Word> for Verdict {
    fn from(word: Word) -> Verdict {
        Verdict { word, wait: None }
    }
}

impl Verdict {
    /// Reads `throttled`, or `throttled 1m`.
    pub(crate) fn parse(text: &str) -> Result<Verdict, String> {
        let (name, wait) = text.split_once(' ').unwrap_or((text, ""));
        let Some((_, word)) = Word::ALL.into_iter().find(|(known, _)| *known == name) else {
            let names = Word::ALL.map(|(name, _)| name);
            let hint =
                spelling::nearest(name, &names).map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
            return Err(format!("`{name}` is no outcome{hint} ({})", names.join(", ")));
        };
        let wait = match (wait.trim(), word) {
            ("", _) => None,
            (wait, Word::Throttled | Word::Retry) => Some(duration(wait)?),
            (wait, _) => return Err(format!("`{wait}` after `{name}`: only `throttled` and `retry` take a time")),
        };
        Ok(Verdict { word, wait })
    }

    /// The outcome, with what was seen and how long the answer asks to wait.
    pub(crate) fn outcome(self, wait: Option<Duration>, provider_id: Option<String>, detail: String) -> Outcome {
        let wait = wait.or(self.wait);
        match self.word {
            Word::Accepted => Outcome::Accepted { provider_id },
            Word::Duplicate => Outcome::Duplicate { detail },
            Word::Rejected => Outcome::Rejected { reason: detail },
            Word::RecipientGone => Outcome::RecipientGone { detail },
            Word::Throttled => Outcome::Throttled { retry_after: wait, detail },
            Word::QuotaExhausted => Outcome::QuotaExhausted { until: None, detail },
            Word::Retry => Outcome::Retry { after: wait, detail },
            Word::Unknown => Outcome::Unknown { detail },
            Word::TemplateBroken => Outcome::TemplateBroken { detail },
            Word::Halt => Outcome::Halt { reason: detail },
        }
    }
}

/// `90s`, `1m`, `2h`.
fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is no time; write it as in `90s`, `10m`, `2h`");
    let unit = text.char_indices().last().map(|(at, _)| at).ok_or_else(wrong)?;
    let seconds = match &text[unit..] {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return Err(wrong()),
    };
    let count: u64 = text[..unit].parse().map_err(|_| wrong())?;
    let duration = Duration::from_secs(count.saturating_mul(seconds));
    if duration > WAIT_MAX {
        return Err(format!("`{text}` is more than a day"));
    }
    Ok(duration)
}

/// Statuses that one row of `statuses` covers: `503` or `5xx`.
pub(crate) fn covers(row: &str, status: u16) -> bool {
    let class = row.strip_suffix("xx");
    row.parse() == Ok(status) || class.is_some_and(|class| class.parse() == Ok(status / 100))
}

/// What is wrong with a row of `statuses`.
pub(crate) fn check_status(row: &str) -> Result<(), String> {
    if (100..600).any(|status| covers(row, status)) && row.len() == 3 {
        return Ok(());
    }
    Err("is no status; write one as in `503`, or a class of them as in `5xx`".to_owned())
}

/// What `statuses` of the app says: a status itself before its class.
pub(crate) fn of_status(app: &App, status: u16) -> Option<Verdict> {
    let row = |exact: bool| {
        let mut rows = app.settings.table("statuses").filter(|(row, _)| covers(row, status));
        rows.find(|(row, _)| row.ends_with("xx") != exact)
    };
    row(true).or_else(|| row(false)).and_then(|(_, text)| Verdict::parse(text).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::app;
    use serde_json::json;

    #[test]
    fn the_words_are_the_engines() {
        for (name, word) in Word::ALL {
            let verdict = Verdict::parse(name).unwrap();
            assert_eq!(verdict, word.into());
            assert_eq!(verdict.outcome(None, None, String::new()).name(), name);
        }
    }

    #[test]
    fn a_wait_follows_what_can_wait() {
        let wait = |text: &str| Verdict::parse(text).unwrap().wait;
        assert_eq!(wait("throttled 10m"), Some(Duration::from_secs(600)));
        assert_eq!(wait("retry  90s"), Some(Duration::from_secs(90)));
        assert_eq!(wait("retry 24h"), Some(WAIT_MAX));
        for (text, part) in [
            ("halt 1m", "only `throttled` and `retry`"),
            ("throttled soon", "is no time"),
            ("throttled 1", "is no time"),
            ("throttled m", "is no time"),
            ("throttled -1s", "is no time"),
            ("throttled 1ü", "is no time"),
            ("throttled 25h", "more than a day"),
            ("throttled 99999999999999999999h", "is no time"),
            ("throtled", "did you mean `throttled`?"),
            ("", "is no outcome"),
        ] {
            let problem = Verdict::parse(text).unwrap_err();
            assert!(problem.contains(part), "{text}: {problem}");
        }
    }

    #[test]
    fn what_the_answer_asks_for_goes_before_what_config_says() {
        let outcome =
            Verdict::parse("throttled 10m").unwrap().outcome(Some(Duration::from_secs(3)), None, String::new());
        assert_eq!(outcome, Outcome::Throttled { retry_after: Some(Duration::from_secs(3)), detail: String::new() });
    }

    #[test]
    fn a_status_goes_before_its_class() {
        let app = app(json!({"statuses": {"5xx": "retry", "501": "rejected", "404": "halt"}}));
        let word = |status| of_status(&app, status).map(|verdict| verdict.word);
        assert_eq!(word(500), Some(Word::Retry));
        assert_eq!(word(501), Some(Word::Rejected));
        assert_eq!(word(404), Some(Word::Halt));
        assert_eq!(word(403), None);
    }

    #[test]
    fn a_row_of_statuses_is_a_status_or_a_class() {
        for right in ["100", "404", "599", "1xx", "5xx"] {
            assert_eq!(check_status(right), Ok(()), "{right}");
        }
        for wrong in ["", "xx", "4x", "40", "600", "099", "0xx", "6xx", "4xx ", "+404", "4XX", "+4xx"] {
            assert!(check_status(wrong).is_err(), "{wrong}");
        }
    }
}
