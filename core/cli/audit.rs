//! `tidings audit`: the record of changes.

use tidings_api::wire::AuditEntry;

use crate::args::{AuditCommand, AuditListArgs};
use crate::connect::Reach;
use crate::{Outcome, output};

pub(crate) async fn audit(reach: &Reach, command: AuditCommand) -> Outcome {
    let AuditCommand::List(AuditListArgs { who, act, subject, since, page }) = command;
    let client = reach.client()?;
    let filters = [("who", who), ("act", act), ("subject", subject), ("since", since)];
    let mut query = vec![("limit", page.limit.to_string())];
    query.extend(filters.into_iter().filter_map(|(name, value)| value.map(|value| (name, value))));
    query.extend(page.cursor.map(|cursor| ("cursor", cursor)));
    let found = client.audit(&query).await?;
    if page.json {
        return output::json(&found);
    }
    let rows: Vec<Vec<String>> = found.items.into_iter().map(row).collect();
    output::table(&["AT", "WHO", "ACT", "SUBJECT", "COUNT", "WHY", "DETAIL"], &rows)?;
    output::more(found.next.as_deref());
    Ok(())
}

fn row(entry: AuditEntry) -> Vec<String> {
    let count = output::or_dash(entry.count.map(|count| count.to_string()));
    let detail = entry.detail.unwrap_or_default();
    vec![entry.at, entry.who, entry.act, entry.subject, count, output::or_dash(entry.why), detail]
}
