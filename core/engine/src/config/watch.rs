//! `[log]` and `[telemetry]`: what is told of the engine, and to whom.

use super::Reading;
use super::read::{Section, text};

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// A JSON object a line.
    Json,
}

impl LogFormat {
    /// The words for them.
    pub const WORDS: [&'static str; 2] = ["text", "json"];

    /// By its word.
    pub fn from_word(word: &str) -> Option<LogFormat> {
        match word {
            "text" => Some(LogFormat::Text),
            "json" => Some(LogFormat::Json),
            _ => None,
        }
    }
}

impl Reading<'_> {
    pub(super) fn log(&self, root: &Section<'_>) -> LogFormat {
        let Some(section) = root.section("log") else { return LogFormat::default() };
        let format = section.choice("format", &LogFormat::WORDS).and_then(LogFormat::from_word);
        section.finish();
        format.unwrap_or_default()
    }

    /// Where spans are sent to: the whole address.
    pub(super) fn telemetry(&self, root: &Section<'_>) -> Option<String> {
        let section = root.section("telemetry")?;
        let address = section.parsed("otlp", |value| {
            let address = text(value)?;
            let is_web = address.starts_with("http://") || address.starts_with("https://");
            match reqwest::Url::parse(&address) {
                Ok(url) if is_web && url.username().is_empty() && url.password().is_none() => Ok(traces(&address)),
                _ => Err("expected the address of a collector, as in `http://127.0.0.1:4318`".to_owned()),
            }
        });
        section.finish();
        address
    }
}

/// A collector takes traces at `/v1/traces` (OTLP 1.x, "OTLP/HTTP Request"), wherever its base is.
fn traces(base: &str) -> String {
    let base = base.trim_end_matches('/');
    if base.ends_with("/v1/traces") { base.to_owned() } else { format!("{base}/v1/traces") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traces_go_to_their_own_path() {
        assert_eq!(traces("http://127.0.0.1:4318"), "http://127.0.0.1:4318/v1/traces");
        assert_eq!(traces("https://collector.example/tenant/"), "https://collector.example/tenant/v1/traces");
        assert_eq!(traces("http://c/v1/traces"), "http://c/v1/traces");
    }
}
