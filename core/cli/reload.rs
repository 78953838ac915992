//! `tidings reload`: the running engine reads its config again.

use tidings_api::wire::SettingChange;

use crate::args::ReloadArgs;
use crate::connect::Reach;
use crate::{Outcome, output};

pub(crate) async fn reload(reach: &Reach, args: ReloadArgs) -> Outcome {
    let reloaded = reach.client()?.reload(args.dry_run, args.reason).await?;
    if args.json {
        return output::json(&reloaded);
    }
    for note in &reloaded.notes {
        eprintln!("note: {note}");
    }
    let rows: Vec<Vec<String>> = reloaded
        .changes
        .into_iter()
        .map(|SettingChange { setting, before, after }| {
            vec![setting, before.unwrap_or_else(|| "-".to_owned()), after.unwrap_or_else(|| "-".to_owned())]
        })
        .collect();
    if rows.is_empty() {
        return output::line("nothing differs");
    }
    output::table(&["SETTING", "BEFORE", "AFTER"], &rows)?;
    output::line(if reloaded.applied { "in force" } else { "not in force: this was a dry run" })
}
