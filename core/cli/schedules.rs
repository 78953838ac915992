//! `tidings schedules` and `tidings runs`.

use tidings_api::wire::Run;

use crate::args::{ListCommand, RunsCommand};
use crate::connect::Reach;
use crate::{Outcome, output};

pub(crate) async fn schedules(reach: &Reach, command: ListCommand) -> Outcome {
    let ListCommand::List(args) = command;
    let schedules = reach.client()?.schedules().await?;
    if args.json {
        return output::json(&schedules);
    }
    let rows: Vec<Vec<String>> = schedules
        .into_iter()
        .map(|schedule| {
            let last = schedule.last_run.map(|run| format!("{} {}", run.nominal_at, run.state));
            vec![
                schedule.name,
                schedule.cron,
                schedule.timezone,
                output::or_dash(schedule.next_at),
                output::or_dash(last),
                schedule.job,
            ]
        })
        .collect();
    output::table(&["SCHEDULE", "CRON", "ZONE", "NEXT", "LAST RUN", "JOB"], &rows)
}

pub(crate) async fn runs(reach: &Reach, command: RunsCommand) -> Outcome {
    let RunsCommand::List(args) = command;
    let mut query = vec![("limit", args.page.limit.to_string())];
    query.extend(args.schedule.map(|schedule| ("schedule", schedule)));
    query.extend(args.page.cursor.map(|cursor| ("cursor", cursor)));
    let page = reach.client()?.runs(&query).await?;
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
