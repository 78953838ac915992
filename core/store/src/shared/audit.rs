//! The record of changes: written with them, and read.

use std::sync::LazyLock;

use tidings_model::limits::{LIST_WALK_MAX, PAGE_ROWS_MAX};
use tidings_model::{AuditId, MessageId, Timestamp};

use super::reader::{Reader, page_of};
use super::tick::{Numbered, Step, length};
use super::walk::{self, Dated};
use crate::audit::{AuditFilter, AuditRow, Record};
use crate::batch::{Batch, Operated};
use crate::error::StoreError;
use crate::read::Page;
use crate::sql::{Builder, ROWS_MAX, Row, RowsStatement, sql};

static INSERT_AUDIT: LazyLock<RowsStatement> = LazyLock::new(|| RowsStatement::new(sql!("insert_audit")));
static INSERT_ACTED: LazyLock<RowsStatement> = LazyLock::new(|| RowsStatement::new(sql!("insert_acted")));

const AUDIT: &str = "SELECT a.id, a.at, a.who, a.act, a.subject, a.why, a.detail, a.count FROM audit AS a";

impl Step<'_> {
    /// Writes who made the changes of the batch. An act that moved no message, or ended no run, changed nothing and is not
    /// there.
    pub(super) async fn record(
        &mut self,
        batch: &Batch,
        operated: &[Operated],
        ran: &[bool],
    ) -> Result<Vec<Option<AuditId>>, StoreError> {
        let during = || StoreError::during("write the record of changes");
        let (mut answers, mut rows, mut acted) = (Vec::with_capacity(batch.records.len()), Vec::new(), Vec::new());
        let ids = self.new_ids(Numbered::Audit, batch.records.len()).await?;
        for (new, record) in ids.into_iter().zip(&batch.records) {
            if record.of_run.is_some_and(|place| !ran[place]) {
                answers.push(None);
                continue;
            }
            let Some(acts) = &record.acts else {
                rows.push((new, record, None));
                answers.push(Some(AuditId(new)));
                continue;
            };
            let of = |index: &usize| matches!(operated[*index], Operated::Moved(_));
            let moved: Vec<i64> =
                acts.operations.clone().filter(of).map(|index| batch.operations[index].message.0).collect();
            let id = acts.onto.map_or(new, |onto| onto.0);
            if moved.is_empty() {
                answers.push(acts.onto);
                continue;
            }
            if acts.onto.is_some() {
                let raise = sql!("raise_audit").query();
                self.run(raise.bind(id).bind(length(moved.len()))).await.map_err(during())?;
            } else {
                rows.push((id, record, Some(length(moved.len()))));
            }
            answers.push(Some(AuditId(id)));
            acted.extend(moved.into_iter().map(|message| (message, id)));
        }
        for rows in rows.chunks(ROWS_MAX) {
            self.insert_audit(rows).await.map_err(during())?;
        }
        for rows in acted.chunks(ROWS_MAX) {
            let mut query = INSERT_ACTED.query(rows.len());
            for (message, audit) in rows {
                query = query.bind(*message).bind(*audit);
            }
            self.run(query).await.map_err(during())?;
        }
        Ok(answers)
    }

    async fn insert_audit(&mut self, rows: &[(i64, &Record, Option<i64>)]) -> Result<(), sqlx::Error> {
        let mut query = INSERT_AUDIT.query(rows.len());
        for (id, Record { entry, .. }, count) in rows {
            query = query
                .bind(*id)
                .bind(self.now.0)
                .bind(&entry.who)
                .bind(entry.act)
                .bind(&entry.subject)
                .bind(&entry.why)
                .bind(&entry.detail)
                .bind(*count);
        }
        self.run(query).await.map(drop)
    }
}

impl Reader {
    /// Entries of the record, newest first. A page looks at a bounded number of entries: it may have fewer rows than
    /// were asked for, and still a next one.
    pub async fn audit(&self, filter: &AuditFilter) -> Result<Page<AuditRow>, StoreError> {
        let during = || StoreError::during("read the record of changes");
        // One look: what is written meanwhile must not shift where the page ends.
        let mut look = self.look().await?;
        let after = match filter.since {
            Some(at) => walk::last_before(&mut look, Dated::Audit, at).await?,
            None => 0,
        };
        let before = filter.before.unwrap_or(i64::MAX);
        let end = if filter.who.is_some() || filter.act.is_some() {
            let mut query = Builder::new("SELECT a.id FROM audit AS a");
            push_range(&mut query, filter, after, before);
            query.push(" ORDER BY a.id DESC LIMIT 1 OFFSET ").push_bind(LIST_WALK_MAX - 1);
            query.build().fetch_optional_scalar::<i64>(&mut look).await.map_err(during())?
        } else {
            None
        };
        let mut query = select_audit(filter, end.map_or(after, |end| end - 1), before);
        query.push(" ORDER BY a.id DESC LIMIT ").push_bind(filter.limit);
        let rows = query.build().fetch_all(&mut look).await.map_err(during())?;
        let rows: Vec<AuditRow> = rows.iter().map(audit_row).collect();
        let last = rows.last().map(|row| row.id.0);
        Ok(page_of(rows, filter.limit, last, end))
    }

    /// The acts that moved this message, in order, as many as a page has.
    pub async fn acts_on(&self, message: MessageId) -> Result<Vec<AuditRow>, StoreError> {
        let rows = sql!("acts_on")
            .query()
            .bind(message.0)
            .bind(PAGE_ROWS_MAX)
            .fetch_all(&mut self.connection().await?)
            .await
            .map_err(StoreError::during("read the acts on a message"))?;
        Ok(rows.iter().map(audit_row).collect())
    }
}

pub(super) fn select_audit(filter: &AuditFilter, after: i64, before: i64) -> Builder<'_> {
    let mut query = Builder::new(AUDIT);
    push_range(&mut query, filter, after, before);
    if let Some(who) = &filter.who {
        query.push(" AND a.who = ").push_bind(who);
    }
    if let Some(act) = &filter.act {
        query.push(" AND (a.act = ").push_bind(act);
        query.push(" OR substr(a.act, 1, CAST(").push_bind(length(act.chars().count() + 1));
        query.push(" AS integer)) = ").push_bind(format!("{act}.")).push(")");
    }
    query
}

fn push_range<'q>(query: &mut Builder<'q>, filter: &'q AuditFilter, after: i64, before: i64) {
    match &filter.subject {
        Some(subject) => query.push_sqlite(" INDEXED BY audit_subject").push(" WHERE a.subject = ").push_bind(subject),
        None => query.push_sqlite(" NOT INDEXED").push(" WHERE true"),
    };
    query.push(" AND a.id < ").push_bind(before).push(" AND a.id > ").push_bind(after);
}

fn audit_row(row: &Row) -> AuditRow {
    AuditRow {
        id: AuditId(row.get(0)),
        at: Timestamp(row.get(1)),
        who: row.get(2),
        act: row.get(3),
        subject: row.get(4),
        why: row.get(5),
        detail: row.get(6),
        count: row.get(7),
    }
}
