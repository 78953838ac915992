//! `[schedules.NAME]`: cron lines and their jobs.

use std::collections::BTreeMap;

use chrono_tz::Tz;
use serde_json::{Map, Value};
use tidings_model::cron::Cron;
use tidings_model::spelling::{is_slip, nearest};
use tidings_model::{AppName, ScheduleName, TemplateName};

use super::read::{Found, Section, json, text};
use super::{AppConfig, Audience, Job, Missed, Names, Overlap, Reading, ScheduleConfig, TemplateConfig};

impl Reading<'_> {
    pub(super) fn schedules(
        &self,
        root: &Section<'_>,
        apps: &Names<AppName, AppConfig>,
        templates: &Names<TemplateName, TemplateConfig>,
    ) -> BTreeMap<ScheduleName, ScheduleConfig> {
        let mut schedules = BTreeMap::new();
        for (name, span, section) in root.named("schedules") {
            let schedule = self.schedule(&section, apps, templates);
            match (ScheduleName::new(name), schedule) {
                (Ok(name), Some(schedule)) => {
                    schedules.insert(name, schedule);
                }
                (Err(error), _) => section.report(&span, section.path(), error.to_string()),
                (Ok(_), None) => {}
            }
            section.finish();
        }
        schedules
    }

    fn schedule(
        &self,
        section: &Section<'_>,
        apps: &Names<AppName, AppConfig>,
        templates: &Names<TemplateName, TemplateConfig>,
    ) -> Option<ScheduleConfig> {
        let cron = section.parsed("cron", |value| {
            let line = text(value)?;
            Cron::parse(&line).map_err(|error| format!("`{line}`: {error}"))
        });
        let timezone = match section.find("timezone") {
            None => Some(Tz::UTC),
            Some(_) => section.parsed("timezone", |value| timezone(&text(value)?)),
        };
        let missed = match section.choice("missed", &["once", "skip", "all"]) {
            Some("skip") => Missed::Skip,
            Some("all") => Missed::All,
            _ => Missed::Once,
        };
        let overlap = match section.choice("overlap", &["skip", "queue", "allow"]) {
            Some("queue") => Overlap::Queue,
            Some("allow") => Overlap::Allow,
            _ => Overlap::Skip,
        };
        let job = match section.find("job") {
            Some(found) => self.job(section, &found, apps, templates),
            None => {
                section.missing(
                    "job",
                    "`\"purge_credentials\"`, `{ refresh_token = \"APP\" }` or `{ send = \"TEMPLATE\", audience = … }`",
                );
                None
            }
        };
        if section.find("cron").is_none() {
            section.missing("cron", "a cron line, as in `0 9 * * 1-5`");
        }
        let (cron, timezone, job) = (cron?, timezone?, job?);
        let definition = format!("{} {timezone} {}", cron.as_str(), job.describe());
        Some(ScheduleConfig { cron, timezone, missed, overlap, job, definition })
    }

    fn job<'c>(
        &self,
        section: &Section<'c>,
        found: &Found<'c>,
        apps: &Names<AppName, AppConfig>,
        templates: &Names<TemplateName, TemplateConfig>,
    ) -> Option<Job> {
        const JOBS: &str = "expected `\"purge_credentials\"`, `{ refresh_token = \"APP\" }` or `{ send = \"TEMPLATE\", audience = … }`";
        if let Some(word) = found.value.as_str() {
            if word == "purge_credentials" {
                return Some(Job::PurgeCredentials);
            }
            section.report(&found.span, &found.path, format!("there is no job `{word}`; {JOBS}"));
            return None;
        }
        let table = section.as_section(found)?;
        let job = if table.find("refresh_token").is_some() {
            let app = table.parsed("refresh_token", |value| {
                let app = text(value)?;
                apps.refers("app", &app)?;
                AppName::new(app).map_err(|error| error.to_string())
            });
            app.map(Job::RefreshToken)
        } else if table.find("send").is_some() {
            self.send(&table, templates)
        } else {
            section.report(&found.span, &found.path, JOBS);
            None
        };
        table.finish();
        job
    }

    fn send(&self, table: &Section<'_>, templates: &Names<TemplateName, TemplateConfig>) -> Option<Job> {
        let template = table.parsed("send", |value| {
            let template = text(value)?;
            templates.refers("template", &template)?;
            TemplateName::new(template).map_err(|error| error.to_string())
        });
        let data = match table.find("data").map(|found| (json(found.value), found)) {
            Some((Value::Object(data), _)) => data,
            Some((_, found)) => {
                table.report(&found.span, &found.path, "expected a table");
                return None;
            }
            None => Map::new(),
        };
        let Some(found) = table.find("audience") else {
            table.missing("audience", "`{ file = \"rows.csv\" }` or `\"everyone\"`");
            return None;
        };
        let audience = if found.value.as_str() == Some("everyone") {
            Some(Audience::Everyone)
        } else if let Some(inner) = found.value.as_table().and_then(|_| table.as_section(&found)) {
            let file = inner.text("file").map(|path| Audience::File(self.folder.join(path)));
            if file.is_none() {
                inner.missing("file", "a CSV or NDJSON file");
            }
            inner.finish();
            file
        } else {
            table.report(&found.span, &found.path, "expected `{ file = \"rows.csv\" }` or `\"everyone\"`");
            None
        };
        Some(Job::Send { template: template?, audience: audience?, data })
    }
}

fn timezone(name: &str) -> Result<Tz, String> {
    name.parse::<Tz>().map_err(|_| {
        let names: Vec<&str> = chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name()).collect();
        // Only a slip of one letter: a city that is spelt a little alike is another city.
        match nearest(name, &names).filter(|right| is_slip(name, right)) {
            Some(right) => format!("`{name}` is no time zone; did you mean `{right}`?"),
            None if name.starts_with("Asia/Bei") => {
                format!("`{name}` is no time zone; all of China keeps `Asia/Shanghai`")
            }
            None => format!("`{name}` is no time zone; write its IANA name, as in `Asia/Shanghai`"),
        }
    })
}
