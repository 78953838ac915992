//! `tidings check`: everything that can be found without sending; with `--online`, what the world says of it.

use std::path::Path;

use serde_json::{Value, json};
use tidings_engine::config::ScheduleConfig;
use tidings_engine::{Config, SystemClock, Verdict, look_online};
use tidings_model::cron::Language;
use tidings_model::{Clock as _, Timestamp};

use crate::args::CheckArgs;
use crate::local_zone::local_zone;
use crate::schedules::{NOMINAL_TIME, wall};
use crate::{Failure, Outcome, output, plugin, run};

pub(crate) async fn check(path: &Path, args: &CheckArgs) -> Outcome {
    let config = match Config::load(path, &run::registry(), &plugin::world_looking_on()) {
        Ok(config) => config,
        Err(problems) => {
            for problem in &problems {
                if args.json {
                    output::json(&json!({
                        "file": problem.file, "line": problem.line, "column": problem.column,
                        "path": problem.path, "message": problem.message,
                    }))?;
                } else {
                    eprintln!("{problem}");
                }
            }
            if !args.json {
                let count = problems.len();
                eprintln!("{count} {} in {}", if count == 1 { "mistake" } else { "mistakes" }, path.display());
            }
            return Err(Failure::Usage(String::new()));
        }
    };
    let now = SystemClock.now();
    if !args.json {
        summary(&config, now, path)?;
    }
    let mut object = if args.json { summary_json(&config, now) } else { json!(null) };
    let verdicts = if args.online { look_online(config).await } else { Vec::new() };
    let wrong = verdicts.iter().filter(|verdict| verdict.found.is_err()).count();
    if args.json {
        if args.online {
            object["online"] = verdicts.iter().map(verdict_json).collect();
        }
        output::json(&object)?;
    } else {
        for Verdict { what, name, found } in &verdicts {
            let (Ok(detail) | Err(detail)) = found;
            let word = if found.is_ok() { "ok   " } else { "wrong" };
            output::line(&output::clean(&format!("{word}  {what} {name}: {detail}")))?;
        }
    }
    match wrong {
        0 => Ok(()),
        1 => Err(Failure::Failed("one of them does not work".to_owned())),
        wrong => Err(Failure::Failed(format!("{wrong} of them do not work"))),
    }
}

fn verdict_json(verdict: &Verdict) -> Value {
    let (Ok(detail) | Err(detail)) = &verdict.found;
    json!({"what": verdict.what, "name": verdict.name, "ok": verdict.found.is_ok(), "detail": detail})
}

fn next(schedule: &ScheduleConfig, now: Timestamp) -> Option<Timestamp> {
    schedule.cron.next_after(schedule.timezone, now.0).map(Timestamp)
}

fn summary_json(config: &Config, now: Timestamp) -> Value {
    let schedules: Vec<_> = config
        .schedules
        .iter()
        .map(|(name, schedule)| {
            json!({
                "name": name.as_str(),
                "cron": schedule.cron.as_str(),
                "timezone": schedule.timezone.name(),
                "words": { "en": schedule.cron.words(Language::English), "zh": schedule.cron.words(Language::Chinese) },
                "next_at": next(schedule, now).map(|at| at.to_rfc3339()),
                "job": schedule.job.describe(),
            })
        })
        .collect();
    let names = |keys: Vec<&str>| json!(keys);
    json!({
        "apps": names(config.apps.keys().map(|name| name.as_str()).collect()),
        "channels": names(config.channels.keys().map(|name| name.as_str()).collect()),
        "templates": names(config.templates.keys().map(|name| name.as_str()).collect()),
        "schedules": schedules,
        "notes": config.notes,
    })
}

fn summary(config: &Config, now: Timestamp, path: &Path) -> Outcome {
    for note in &config.notes {
        eprintln!("note: {note}");
    }
    let count = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    let defined = [
        count(config.apps.len(), "app"),
        count(config.channels.len(), "channel"),
        count(config.templates.len(), "template"),
        count(config.schedules.len(), "schedule"),
    ];
    output::line(&format!("{} is right: {}", path.display(), defined.join(", ")))?;
    let here = local_zone();
    let rows: Vec<Vec<String>> = config
        .schedules
        .iter()
        .map(|(name, schedule)| {
            let next = next(schedule, now).map(|at| at.to_rfc3339());
            let shown = |zone| output::or_dash(next.as_deref().map(|at| wall(at, zone, NOMINAL_TIME)));
            vec![
                name.to_string(),
                schedule.cron.words(Language::English),
                schedule.timezone.name().to_owned(),
                shown(schedule.timezone),
                shown(here),
                schedule.cron.as_str().to_owned(),
                schedule.job.describe(),
            ]
        })
        .collect();
    if rows.is_empty() {
        return Ok(());
    }
    let here = format!("HERE ({})", here.name());
    output::table(&["SCHEDULE", "WHEN", "ZONE", "NEXT", &here, "CRON", "JOB"], &rows)
}
