//! `tidings schedules`.

use chrono::{DateTime, TimeZone as _, Utc};
use chrono_tz::Tz;
use tidings_api::client::Client;
use tidings_api::wire::{BackfillReply, BackfillRequest, Firing, Schedule, SkipRequest};

use crate::args::{
    ScheduleActArgs, ScheduleBackfillArgs, ScheduleListArgs, ScheduleNextArgs, ScheduleRunArgs, ScheduleShowArgs,
    ScheduleSkipArgs, SchedulesCommand,
};
use crate::connect::Reach;
use crate::local_zone::local_zone;
use crate::runs::preflight;
use crate::{Failure, Outcome, output};

pub(crate) async fn schedules(reach: &Reach, command: SchedulesCommand) -> Outcome {
    let client = reach.client()?;
    match command {
        SchedulesCommand::List(args) => list(&client, args).await,
        SchedulesCommand::Next(args) => next(&client, args).await,
        SchedulesCommand::Show(args) => show(&client, args).await,
        SchedulesCommand::Pause(args) => act(&client, "pause", args).await,
        SchedulesCommand::Resume(args) => act(&client, "resume", args).await,
        SchedulesCommand::Run(ScheduleRunArgs { act: ScheduleActArgs { name, json, .. }, dry_run: true }) => {
            preflight(&client, &name, json).await
        }
        SchedulesCommand::Run(ScheduleRunArgs { act: ScheduleActArgs { name, reason, json }, dry_run: false }) => {
            let begun = client.run_schedule(&name, reason).await?;
            if json { output::json(&begun) } else { output::line(&format!("{} begins", begun.run)) }
        }
        SchedulesCommand::Skip(ScheduleSkipArgs { name, count, reason, json }) => {
            let schedule = client.skip_schedule(&name, &SkipRequest { count, reason }).await?;
            if json { output::json(&schedule) } else { next_times(&schedule) }
        }
        SchedulesCommand::Backfill(args) => backfill(&client, args).await,
    }
}

async fn list(client: &Client, args: ScheduleListArgs) -> Outcome {
    let schedules = client.schedules(1).await?;
    if args.json {
        return output::json(&schedules);
    }
    let rows: Vec<Vec<String>> = schedules
        .into_iter()
        .map(|schedule| {
            let last = schedule.last_run.map(|run| format!("{} {}", run.nominal_at, run.state));
            vec![
                schedule.name,
                schedule.state,
                schedule.cron,
                schedule.timezone,
                output::or_dash(schedule.next_at),
                output::or_dash(last),
                schedule.words.en,
                schedule.job,
            ]
        })
        .collect();
    output::table(&["SCHEDULE", "STATE", "CRON", "ZONE", "NEXT", "LAST RUN", "WHEN", "JOB"], &rows)
}

async fn next(client: &Client, args: ScheduleNextArgs) -> Outcome {
    let schedule = client.schedule(&args.name, args.count).await?;
    if args.json { output::json(&schedule) } else { next_times(&schedule) }
}

/// The next times in the schedule's zone and in that of whoever looks.
fn next_times(schedule: &Schedule) -> Outcome {
    output::line(&format!("{}: {}, {} ({})", schedule.name, schedule.words.en, schedule.timezone, schedule.cron))?;
    for line in standing(schedule) {
        output::line(&line)?;
    }
    let (zone, local) = (schedule.timezone.parse().unwrap_or(Tz::UTC), local_zone());
    let rows: Vec<Vec<String>> = schedule
        .next
        .iter()
        .map(|next| {
            let mut note = String::new();
            if schedule.state == "paused" {
                note.push_str("paused");
            } else if next.skipped {
                note.push_str("left out");
            } else if next.fires_at != next.at {
                note = format!("fires at {}", wall(&next.fires_at, zone, "%H:%M:%S"));
            }
            let shown = |zone| wall(&next.at, zone, NOMINAL_TIME);
            vec![shown(zone), shown(local), note]
        })
        .collect();
    output::table(&[&schedule.timezone, &format!("HERE ({})", local.name()), ""], &rows)
}

/// How a nominal time is written, whoever's zone it is in.
pub(crate) const NOMINAL_TIME: &str = "%a %Y-%m-%d %H:%M:%S %:z";

/// What a clock in that zone shows then.
pub(crate) fn wall(at: &str, zone: Tz, format: &str) -> String {
    match DateTime::parse_from_rfc3339(at) {
        Ok(at) => zone.from_utc_datetime(&at.with_timezone(&Utc).naive_utc()).format(format).to_string(),
        Err(_) => at.to_owned(),
    }
}

/// What stands between a schedule and its next times, in lines.
fn standing(schedule: &Schedule) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(paused) = &schedule.paused {
        lines.push(format!("paused since {} by {}: {}", paused.at, paused.by, paused.why));
    }
    if let Some(skip) = &schedule.skip {
        lines.push(format!("its next {} are left out, by {}: {}", schedule.skips, skip.by, skip.why));
    }
    if let Some(backfill) = &schedule.backfill {
        let (at, until) = (&backfill.at, &backfill.until);
        lines.push(format!("runs its past times: at {at}, until {until}, by {}: {}", backfill.by, backfill.why));
    }
    match schedule.state.as_str() {
        "ahead" => {
            lines.push("the clock was set back: it fires again once the clock is past what it has fired".to_owned())
        }
        "removed" => {
            let since = schedule.removed_at.as_deref().unwrap_or("some time ago");
            lines.push(format!("config has it no more, since {since}"));
        }
        _ => {}
    }
    lines
}

async fn show(client: &Client, args: ScheduleShowArgs) -> Outcome {
    let schedule = client.schedule(&args.name, args.next).await?;
    if args.page.json && args.page.cursor.is_none() {
        return output::json(&schedule);
    }
    let mut query = vec![("limit", args.page.limit.to_string())];
    query.extend(args.page.cursor.map(|cursor| ("cursor", cursor)));
    let page = client.firings(&args.name, &query).await?;
    if args.page.json {
        return output::json(&page);
    }
    next_times(&schedule)?;
    if !schedule.job.is_empty() {
        output::line(&format!("job: {}", schedule.job))?;
        output::line(&format!("policy: {}", policy(&schedule)))?;
    }
    output::line("")?;
    let rows: Vec<Vec<String>> = page.items.into_iter().map(firing).collect();
    output::table(&["FOR", "VERDICT", "LATE", "RUN"], &rows)?;
    output::more(page.next.as_deref());
    Ok(())
}

fn policy(schedule: &Schedule) -> String {
    let policy = &schedule.policy;
    let most = policy.missed_max.map_or(String::new(), |most| format!(" (at most {most})"));
    let grace = policy.grace_s.map_or(String::new(), |grace| format!(", grace {grace} s"));
    let jitter = if policy.jitter_ms == 0 { String::new() } else { format!(", jitter {} ms", policy.jitter_ms) };
    format!("missed {}{most}, overlap {}{grace}{jitter}", policy.missed, policy.overlap)
}

fn firing(firing: Firing) -> Vec<String> {
    let (at, verdict) = match &firing.first_at {
        Some(first) => (format!("{first} to {}", firing.nominal_at), format!("{} {}", firing.count, firing.verdict)),
        None => (firing.nominal_at, firing.verdict),
    };
    let late = firing.late_ms.map(|ms| format!("{}.{:03} s", ms / 1000, ms % 1000));
    vec![at, verdict, output::or_dash(late), output::or_dash(firing.run)]
}

async fn act(client: &Client, act: &str, args: ScheduleActArgs) -> Outcome {
    let ScheduleActArgs { name, reason, json } = args;
    let schedule = client.act_on_schedule(&name, act, reason).await?;
    if json { output::json(&schedule) } else { next_times(&schedule) }
}

async fn backfill(client: &Client, args: ScheduleBackfillArgs) -> Outcome {
    let ScheduleBackfillArgs { name, from, to, yes, stop, reason, json } = args;
    if stop {
        return act(client, "backfill/stop", ScheduleActArgs { name, reason, json }).await;
    }
    let Some(from) = from else { return Err(Failure::Usage("say from when: --from TIME".to_owned())) };
    let request = BackfillRequest { from, to, plan: !yes, reason };
    let reply = client.backfill_schedule(&name, &request).await?;
    if json {
        return output::json(&reply);
    }
    let BackfillReply { plan, times, ran, sample } = reply;
    let what = if plan { "would run" } else { "runs" };
    output::line(&format!("{what} {} of {times} times; {ran} have run", times.saturating_sub(ran)))?;
    for at in &sample {
        output::line(&format!("  {at}"))?;
    }
    if plan {
        eprintln!("nothing is done yet; add --yes to run them one after the other");
    }
    Ok(())
}
