//! `tidings schedules`.

use crate::args::ListCommand;
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
