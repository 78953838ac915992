//! Metrics as text: Prometheus' own format (0.0.4), or OpenMetrics 1.0 for whoever asks for it.
//!
//! Written here, because nearly all of ours are looked up when somebody asks and none has a life of its own: a client
//! library would have to be told each of them again before each answer, and writes OpenMetrics alone.

use std::fmt::{Display, Write as _};

use tidings_engine::measure::Distribution;

/// In which of the two a page is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// `text/plain; version=0.0.4`
    Prometheus,
    /// `application/openmetrics-text; version=1.0.0`
    OpenMetrics,
}

impl Format {
    /// What a request's `Accept` asks for.
    pub(super) fn asked(accept: Option<&str>) -> Format {
        match accept {
            Some(accept) if accept.contains("application/openmetrics-text") => Format::OpenMetrics,
            _ => Format::Prometheus,
        }
    }

    pub(super) fn media(self) -> &'static str {
        match self {
            Format::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// Labels of a series, by their names.
pub(super) type Labels<'a> = &'a [(&'a str, &'a str)];

/// A page under way.
#[derive(Debug)]
pub(super) struct Page {
    format: Format,
    text: String,
}

impl Page {
    pub(super) fn new(format: Format) -> Page {
        Page { format, text: String::with_capacity(16 * 1024) }
    }

    /// What goes up and down.
    pub(super) fn gauge(&mut self, name: &'static str, help: &str) -> Series<'_> {
        self.head(name, "gauge", help);
        Series { text: &mut self.text, name, end: "" }
    }

    /// What only goes up. The name is without `_total`.
    pub(super) fn counter(&mut self, name: &'static str, help: &str) -> Series<'_> {
        match self.format {
            Format::OpenMetrics => self.head(name, "counter", help),
            Format::Prometheus => self.head(&format!("{name}_total"), "counter", help),
        }
        Series { text: &mut self.text, name, end: "_total" }
    }

    /// How often something took how long.
    pub(super) fn histogram(&mut self, name: &'static str, help: &str) -> Series<'_> {
        self.head(name, "histogram", help);
        Series { text: &mut self.text, name, end: "" }
    }

    fn head(&mut self, name: &str, kind: &str, help: &str) {
        // Help is ours: it has no line breaks and no backslashes.
        writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}").expect("a string takes text");
    }

    pub(super) fn done(mut self) -> String {
        if self.format == Format::OpenMetrics {
            self.text.push_str("# EOF\n");
        }
        self.text
    }
}

/// The series of one name.
#[derive(Debug)]
pub(super) struct Series<'a> {
    text: &'a mut String,
    name: &'static str,
    end: &'static str,
}

impl Series<'_> {
    pub(super) fn value(&mut self, labels: Labels<'_>, value: impl Display) -> &mut Self {
        let (name, end) = (self.name, self.end);
        self.line(&format!("{name}{end}"), labels, None, value);
        self
    }

    pub(super) fn distribution(&mut self, labels: Labels<'_>, seen: &Distribution) -> &mut Self {
        let (bucket, mut count) = (format!("{}_bucket", self.name), 0);
        for (place, in_bucket) in seen.counts.iter().enumerate() {
            count += in_bucket;
            let bound = seen.bounds.get(place).map_or_else(|| "+Inf".to_owned(), f64::to_string);
            self.line(&bucket, labels, Some(("le", &bound)), count);
        }
        let name = self.name;
        self.line(&format!("{name}_sum"), labels, None, seen.sum);
        self.line(&format!("{name}_count"), labels, None, count);
        self
    }

    fn line(&mut self, name: &str, labels: Labels<'_>, last: Option<(&str, &str)>, value: impl Display) {
        self.text.push_str(name);
        let mut open = '{';
        for (label, text) in labels.iter().copied().chain(last) {
            self.text.push(open);
            open = ',';
            self.text.push_str(label);
            self.text.push_str("=\"");
            for c in text.chars() {
                match c {
                    '\\' => self.text.push_str("\\\\"),
                    '"' => self.text.push_str("\\\""),
                    '\n' => self.text.push_str("\\n"),
                    c => self.text.push(c),
                }
            }
            self.text.push('"');
        }
        if open == ',' {
            self.text.push('}');
        }
        writeln!(self.text, " {value}").expect("a string takes text");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_written_in_both_formats() {
        let write = |format| {
            let mut page = Page::new(format);
            page.counter("tidings_x", "How often x.").value(&[("why", "a \"b\"\\\n")], 3).value(&[], 4);
            page.gauge("tidings_y_seconds", "How long y.").value(&[], 1.5);
            let seen = Distribution { bounds: &[0.5, 1.0], counts: vec![1, 0, 2], sum: 7.25 };
            page.histogram("tidings_z_seconds", "How long z.").distribution(&[("of", "a")], &seen);
            page.done()
        };
        let body = "tidings_x_total{why=\"a \\\"b\\\"\\\\\\n\"} 3
tidings_x_total 4
# HELP tidings_y_seconds How long y.
# TYPE tidings_y_seconds gauge
tidings_y_seconds 1.5
# HELP tidings_z_seconds How long z.
# TYPE tidings_z_seconds histogram
tidings_z_seconds_bucket{of=\"a\",le=\"0.5\"} 1
tidings_z_seconds_bucket{of=\"a\",le=\"1\"} 1
tidings_z_seconds_bucket{of=\"a\",le=\"+Inf\"} 3
tidings_z_seconds_sum{of=\"a\"} 7.25
tidings_z_seconds_count{of=\"a\"} 3
";
        let head = |name: &str| format!("# HELP {name} How often x.\n# TYPE {name} counter\n");
        assert_eq!(write(Format::Prometheus), format!("{}{body}", head("tidings_x_total")));
        assert_eq!(write(Format::OpenMetrics), format!("{}{body}# EOF\n", head("tidings_x")));
    }

    #[test]
    fn open_metrics_is_for_whoever_asks_for_it() {
        assert_eq!(Format::asked(None), Format::Prometheus);
        assert_eq!(Format::asked(Some("text/plain;version=0.0.4;q=0.5,*/*;q=0.1")), Format::Prometheus);
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.8,text/plain;version=0.0.4;q=0.5";
        assert_eq!(Format::asked(Some(prometheus)), Format::OpenMetrics);
    }
}
