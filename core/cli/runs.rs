//! `tidings runs`: how far runs of schedules are, what they say, and whom a broadcast would reach.

use std::io::IsTerminal as _;
use std::time::Duration;

use tidings_api::client::Client;
use tidings_api::wire::{Preflight, Run, RunDetail, RunLine};

use crate::args::{RunShowArgs, RunsCancelArgs, RunsCommand, RunsListArgs};
use crate::bar::Bar;
use crate::connect::Reach;
use crate::{Failure, Outcome, output};

/// Between two looks at a run that goes on.
const LOOK: Duration = Duration::from_millis(500);
/// Lines of a log in one answer.
const LINES: u32 = 250;

pub(crate) async fn runs(reach: &Reach, command: RunsCommand) -> Outcome {
    let client = reach.client()?;
    match command {
        RunsCommand::List(args) => list(&client, args).await,
        RunsCommand::Show(args) => show(&client, args).await,
        RunsCommand::Cancel(args) => cancel(&client, args).await,
        RunsCommand::Preflight(args) => preflight(&client, &args.schedule, args.json).await,
    }
}

async fn list(client: &Client, args: RunsListArgs) -> Outcome {
    let mut query = vec![("limit", args.page.limit.to_string())];
    query.extend(args.schedule.map(|schedule| ("schedule", schedule)));
    query.extend(args.state.map(|state| ("run_state", state)));
    query.extend(args.page.cursor.map(|cursor| ("cursor", cursor)));
    let page = client.runs(&query).await?;
    if args.page.json {
        return output::json(&page);
    }
    let rows: Vec<Vec<String>> = page.items.into_iter().map(row).collect();
    output::table(&["RUN", "SCHEDULE", "FOR", "STATE", "DONE", "RESULT"], &rows)?;
    output::more(page.next.as_deref());
    Ok(())
}

fn row(run: Run) -> Vec<String> {
    let total = run.total.map_or(String::new(), |total| format!(" of {total}"));
    vec![
        run.id,
        run.schedule,
        run.nominal_at,
        run.state,
        format!("{}{total}", run.done),
        run.result.unwrap_or_default(),
    ]
}

/// One run with its log; with `--follow` until its end, which is this command's own.
async fn show(client: &Client, args: RunShowArgs) -> Outcome {
    let RunShowArgs { id, follow, json } = args;
    let mut behind = 0;
    let mut found = page(client, &id, behind).await?;
    if !follow && json {
        while let Some(next) = found.next.take().and_then(|next| next.parse().ok()) {
            let more = page(client, &id, next).await?;
            found.log.extend(more.log);
            found.next = more.next;
        }
        return output::json(&found);
    }
    if !json {
        head(&found)?;
    }
    loop {
        let bar = Bar { total: number(found.run.total.unwrap_or(0)), shown: follow && std::io::stderr().is_terminal() };
        bar.clear();
        for line in &found.log {
            behind = behind.max(line.line);
            if json { output::json(line)? } else { output::line(&told(line))? }
        }
        let more = found.next.is_some();
        if !more && (!follow || found.run.state != "running") {
            break;
        }
        if !more {
            bar.show(number(found.run.done));
            tokio::time::sleep(LOOK).await;
        }
        found = page(client, &id, behind).await?;
    }
    let run = found.run;
    if json {
        output::json(&run)?;
    } else {
        let kept = found.log_lines.min(behind);
        if found.log_lines > kept {
            output::line(&format!("({} more lines were not kept)", found.log_lines - kept))?;
        }
        if let Some(total) = run.total.filter(|total| *total > 0) {
            output::line(&Bar::text(number(run.done), number(total)))?;
        }
        output::line(&format!("{}: {}", run.state, output::clean(&run.result.clone().unwrap_or_default())))?;
    }
    match run.state.as_str() {
        "failed" | "cancelled" | "interrupted" if follow => Err(Failure::Failed(format!("{} {}", run.id, run.state))),
        _ => Ok(()),
    }
}

async fn page(client: &Client, id: &str, behind: i64) -> Result<RunDetail, Failure> {
    let query = [("limit", LINES.to_string()), ("cursor", behind.to_string())];
    Ok(client.run(id, &query).await?)
}

fn head(found: &RunDetail) -> Outcome {
    let Run { id, schedule, nominal_at, job, started_at, .. } = &found.run;
    output::line(&format!("{id}: {}, of `{schedule}`, for {nominal_at}", output::clean(job)))?;
    let deadline = found.run.deadline_at.as_ref().map_or_else(String::new, |at| format!(", until {at} at most"));
    let resumed = match found.run.resumed {
        0 => String::new(),
        times => format!(", gone on with {times} times"),
    };
    let ended = found.run.ended_at.as_ref().map_or_else(String::new, |at| format!(", ended {at}"));
    output::line(&format!("began {started_at}{deadline}{resumed}{ended}"))?;
    let Run { accepted, duplicates, suppressed, refused, .. } = found.run;
    if accepted + duplicates + suppressed + refused > 0 {
        let counts =
            format!("{accepted} accepted, {refused} refused, {duplicates} there twice, {suppressed} suppressed");
        output::line(&counts)?;
    }
    Ok(())
}

fn told(line: &RunLine) -> String {
    let mark = if line.level == "warn" { "! " } else { "" };
    format!("{}  {mark}{}", line.at, output::clean(&line.text))
}

async fn cancel(client: &Client, args: RunsCancelArgs) -> Outcome {
    for id in &args.ids {
        let run = client.cancel_run(id, args.reason.clone()).await?;
        if args.json {
            output::json(&run)?;
        } else {
            let id = &run.id;
            output::line(&format!("{id} is cancelled after {} rows; what was accepted goes on", run.done))?;
            output::line(&format!("to withdraw what is not on its way: tidings messages cancel --run {id} --yes"))?;
        }
    }
    Ok(())
}

/// Says whom a schedule's broadcast would reach.
pub(crate) async fn preflight(client: &Client, schedule: &str, json: bool) -> Outcome {
    let found = client.preflight(schedule).await?;
    if json {
        return output::json(&found);
    }
    for line in lines(&found) {
        output::line(&line)?;
    }
    Ok(())
}

fn lines(found: &Preflight) -> Vec<String> {
    let mut lines = vec![format!("{} of {} rows can be reached now", found.reachable, found.rows)];
    if let Some(until) = &found.until {
        let (day, week) = (found.in_a_day, found.in_a_week);
        lines.push(format!("{day} of them still can in a day, {week} in a week; the first until {until}"));
    }
    for why in &found.unreachable {
        lines.push(format!("{} cannot, {}: {}", why.count, why.code, output::clean(&why.example)));
    }
    if !found.by_itself.is_empty() {
        lines.push(format!("{} may give some of them a permit by itself", found.by_itself.join(", ")));
    }
    let waits = |detail: &String| format!("all of them wait: {}", output::clean(detail));
    lines.extend(found.obstacles.iter().map(|it| waits(&it.detail)));
    lines.push("nothing was sent, spent or written".to_owned());
    lines
}

fn number(count: i64) -> u64 {
    u64::try_from(count).unwrap_or(0)
}
