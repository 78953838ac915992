//! `[schedules.NAME]`: cron lines and their jobs.

use std::collections::BTreeMap;

use chrono_tz::Tz;
use tidings_model::cron::Cron;
use tidings_model::spelling::{is_slip, nearest};
use tidings_model::{AppName, ScheduleName, TemplateName};

use super::policy::policy;
use super::read::{Section, text};
use super::{AppConfig, Names, Reading, ScheduleConfig, TemplateConfig};

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
        let policy = policy(section);
        let job = self.job(section, apps, templates);
        if section.find("cron").is_none() {
            section.missing("cron", "a cron line, as in `0 9 * * 1-5`");
        }
        let (cron, timezone, job) = (cron?, timezone?, job?);
        let definition = format!("{} {timezone}", cron.as_str());
        Some(ScheduleConfig { cron, timezone, policy, job, definition })
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
