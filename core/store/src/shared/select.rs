//! Choosing messages: for lists, newest first, and for bulk acts, oldest first. No list reads a table from one end to the
//! other.
//!
//! Each state has a way to its messages. What stopped short of being sent stands in an index by state and id; what is due,
//! later or waiting stands in an index of its state alone, in another order, which is read as a whole while few are in that
//! state; everything else is looked for from the newest on. A list that chooses among what it meets on its way looks at
//! [`LIST_WALK_MAX`] rows, and says where to go on. How many are in a state the writer counts, so that asking costs nothing.
//! No index leads from a recipient to all messages: each message would have to be written into it at a place of its own,
//! far from that of the one before, and most are never asked for. Signposts do (`signpost.rs`), for all but the newest.

use tidings_model::limits::{LIST_WALK_MAX, PAGE_ROWS_MAX};
use tidings_model::{MessageId, RunId, State};

use super::reader::{Reader, message_row, page_of};
use super::signpost;
use super::walk::{Dated, last_before};
use crate::error::StoreError;
use crate::read::{BulkCount, BulkFilter, MessageFilter, MessageRow, Page, Planned, Span};
use crate::sql::{Builder, Connection, Dialect, Row, Statement, both, json};

const COLUMNS: &str =
    "SELECT m.id, c.name, t.name, m.recipient, m.state, m.priority, m.due_at, m.attempts, m.ambiguous,
    m.expires_at, m.created_at, m.finished_at, m.reason, m.detail, m.provider_id, m.run_id";
const MESSAGE: &str = " FROM message AS m";
/// The names beside a message. What comes first in a cross join is read first: the choice is made among messages.
const NAMES: Statement = Statement::new(
    " CROSS JOIN channel AS c ON c.id = m.channel_id CROSS JOIN template AS t ON t.id = m.template_id",
    " JOIN channel AS c ON c.id = m.channel_id JOIN template AS t ON t.id = m.template_id",
);
const NO_NAMES: Statement = Statement::both("");
/// PostgreSQL's index of recipients knows nothing of what is queued and what is being sent (`about_to_reach` does).
const IN_INDEX_OF_RECIPIENTS: Statement = Statement::of_postgres(" AND m.state <> 1 AND m.state <> 3");

/// PostgreSQL takes the index that a way names if no other looks cheaper: one by ids always does where the first of many are asked
/// for, and leads through all that is on its way, whatever its state.
const APART_FROM_IDS: Statement = Statement::new("m.id", "m.id + 0");
const BY_IDS: Statement = Statement::both("m.id");

/// The way to the messages of a filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// From the newest on, whatever their state.
    Recent,
    /// By an index that holds this state by its ids.
    ById(&'static str),
    /// By an index that holds this state alone, as a whole.
    Whole(&'static str),
}

const QUEUED: Way = Way::Whole("message_queued");
const SENDING: Way = Way::ById("message_sending");

/// The index that holds messages of this state.
pub(crate) fn index(state: State) -> Option<Way> {
    match state {
        State::Scheduled => Some(Way::Whole("message_scheduled")),
        State::Queued => Some(QUEUED),
        State::Waiting => Some(Way::Whole("message_waiting")),
        State::Sending => Some(SENDING),
        State::Held | State::Failed | State::Unknown | State::Expired | State::Cancelled => {
            Some(Way::ById("message_dead"))
        }
        State::Sent | State::Delivered => None,
    }
}

/// What is chosen: the one thing that lists and bulk acts have in common.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Choice<'a> {
    pub(crate) state: Option<State>,
    pub(crate) channel: Option<&'a str>,
    pub(crate) template: Option<&'a str>,
    pub(crate) recipient: Option<&'a str>,
    pub(crate) reason: Option<&'a str>,
    pub(crate) run: Option<RunId>,
    pub(crate) span: Span,
}

impl<'a> Choice<'a> {
    fn of_list(filter: &'a MessageFilter, span: Span) -> Choice<'a> {
        let MessageFilter { state, channel, template, recipient, reason, run, .. } = filter;
        Choice {
            state: *state,
            channel: channel.as_deref(),
            template: template.as_deref(),
            recipient: recipient.as_deref(),
            reason: reason.as_deref(),
            run: *run,
            span,
        }
    }

    fn of_act(filter: &'a BulkFilter, state: State, span: Span) -> Choice<'a> {
        let BulkFilter { channel, template, recipient, reason, run, .. } = filter;
        Choice {
            state: Some(state),
            channel: channel.as_deref(),
            template: template.as_deref(),
            recipient: recipient.as_deref(),
            reason: reason.as_deref(),
            run: *run,
            span,
        }
    }

    /// Whether what is met on that way may be something else than what is asked for.
    fn chooses(&self, way: Way) -> bool {
        let by_state = self.state.is_some() && way == Way::Recent;
        by_state
            || self.run.is_some()
            || [self.channel, self.template, self.recipient, self.reason].iter().any(Option::is_some)
    }

    /// The way, in the middle of a statement: which index, which state, which stretch.
    fn push_way(&self, query: &mut Builder<'a>, way: Way, names: Statement) {
        match way {
            Way::Recent => query.push_sqlite(" NOT INDEXED"),
            Way::ById(index) | Way::Whole(index) => query.push_sqlite(" INDEXED BY ").push_sqlite(index),
        };
        query.push_each(names).push(" WHERE true");
        if let Some(state) = self.state.filter(|_| way != Way::Recent) {
            // A literal, so that the partial index of that state can serve.
            query.push(format_args!(" AND m.state = {}", state.code()));
        }
        let id = if self.is_queued_to_one(way) { APART_FROM_IDS } else { BY_IDS };
        query.push(" AND ").push_each(id).push(" > ").push_bind(self.span.after.0);
        query.push(" AND ").push_each(id).push(" <= ").push_bind(self.span.until.0);
    }

    /// Whether the queue's index is to be read for its recipients. Without one a step of a bulk act is quicker by ids: what it
    /// is for is most of what it meets.
    fn is_queued_to_one(&self, way: Way) -> bool {
        way == QUEUED && self.recipient.is_some()
    }

    /// What is chosen among what is met.
    fn push_choice(&self, query: &mut Builder<'a>, way: Way) {
        if let Some(state) = self.state.filter(|_| way == Way::Recent) {
            query.push(" AND m.state = ").push_bind(state.code());
        }
        if let Some(channel) = self.channel {
            query
                .push(" AND m.channel_id = (SELECT id FROM channel WHERE name = ")
                .push_bind(channel.to_owned())
                .push(")");
        }
        if let Some(template) = self.template {
            query.push(" AND m.template_id = (SELECT id FROM template WHERE name = ");
            query.push_bind(template.to_owned()).push(")");
        }
        if let Some(recipient) = self.recipient {
            query.push(" AND m.recipient = ").push_bind(recipient.to_owned());
            if way == Way::Recent {
                query.push_each(IN_INDEX_OF_RECIPIENTS);
            }
        }
        if let Some(reason) = self.reason {
            query.push(" AND m.reason = ").push_bind(reason.to_owned());
        }
        if let Some(run) = self.run {
            query.push(" AND m.run_id = ").push_bind(run.0);
        }
    }
}

/// One message.
pub(crate) fn message<'q>(id: MessageId) -> Builder<'q> {
    let mut query = Builder::new(COLUMNS);
    query.push(MESSAGE).push_each(NAMES).push(" WHERE m.id = ").push_bind(id.0);
    query
}

/// A page of a list.
pub(crate) fn page<'a>(choice: &Choice<'a>, way: Way, limit: u32) -> Builder<'a> {
    let mut query = Builder::new(COLUMNS);
    query.push(MESSAGE);
    choice.push_way(&mut query, way, NAMES);
    choice.push_choice(&mut query, way);
    query.push(" ORDER BY m.id DESC LIMIT ").push_bind(limit);
    query
}

/// Those of these messages that are chosen, in the order of the list.
pub(crate) fn named<'a>(choice: &Choice<'a>, ids: &[i64]) -> Builder<'a> {
    let mut query = Builder::new(COLUMNS);
    // Only SQLite has signposts, and so this list.
    query.push(" FROM json_each(").push_bind(json(&ids)).push(") AS j CROSS JOIN message AS m ON m.id = j.value");
    query.push_each(NAMES).push(" WHERE true");
    choice.push_choice(&mut query, Way::Recent);
    query
}

/// The last row that a page looks at.
pub(crate) fn end<'a>(choice: &Choice<'a>, way: Way) -> Builder<'a> {
    let mut query = Builder::new("SELECT m.id FROM message AS m");
    choice.push_way(&mut query, way, NO_NAMES);
    query.push(" ORDER BY m.id DESC LIMIT 1 OFFSET ").push_bind(LIST_WALK_MAX - 1);
    query
}

/// The next of those that a bulk act is for.
pub(crate) fn next<'a>(choice: &Choice<'a>, way: Way, planned: Planned, most: u32) -> Builder<'a> {
    let mut query = Builder::new("SELECT m.id FROM message AS m");
    choice.push_way(&mut query, way, NO_NAMES);
    choice.push_choice(&mut query, way);
    query.push(" AND (m.finished_at IS NULL OR m.finished_at <= ").push_bind(planned.at.0);
    query.push(" OR m.finished_at > ").push_bind(planned.now.0);
    query.push(") ORDER BY m.id LIMIT ").push_bind(most);
    query
}

/// How many a bulk act is for, by channel.
pub(crate) fn count<'a>(choice: &Choice<'a>, way: Way) -> Builder<'a> {
    let mut query = Builder::new(
        "SELECT (SELECT name FROM channel WHERE id = g.channel_id), g.count
         FROM (SELECT m.channel_id, count(*) AS count FROM message AS m",
    );
    choice.push_way(&mut query, way, NO_NAMES);
    choice.push_choice(&mut query, way);
    query.push(" GROUP BY m.channel_id) AS g");
    query
}

/// Whether any of them may have arrived.
pub(crate) fn ambiguous<'a>(choice: &Choice<'a>, way: Way) -> Builder<'a> {
    let mut query = Builder::new("SELECT EXISTS (SELECT 1 FROM message AS m");
    choice.push_way(&mut query, way, NO_NAMES);
    choice.push_choice(&mut query, way);
    query.push(" AND m.ambiguous = 1)");
    query
}

impl Reader {
    /// Messages, newest first. A page looks at a bounded number of rows: it may have fewer than were asked for, and still
    /// a next one.
    pub async fn messages(&self, filter: &MessageFilter) -> Result<Page<MessageRow>, StoreError> {
        let during = || StoreError::during("list messages");
        let limit = filter.limit.min(PAGE_ROWS_MAX);
        // One look: what is written meanwhile must not shift where the page ends.
        let mut look = self.look().await?;
        let span = stretch(&mut look, filter).await?;
        let mut span = within(&mut look, filter.run, span).await?;
        if let Some(before) = filter.before {
            span.until = span.until.min(MessageId(before.saturating_sub(1)));
        }
        let mut choice = Choice::of_list(filter, span);
        let way = way(&mut look, &choice).await?;
        let posted = match choice.recipient {
            Some(recipient) if !matches!(way, Way::Whole(_)) => {
                signpost::last(&mut look).await?.map(|block| (recipient, block.last()))
            }
            _ => None,
        };
        if let Some((_, last)) = posted {
            choice.span.after = choice.span.after.max(last);
        }
        // On PostgreSQL indexes lead from a recipient to all messages.
        let is_led = choice.recipient.is_some() && look.dialect() == Dialect::Postgres;
        let bounded = choice.chooses(way) && !matches!(way, Way::Whole(_)) && !is_led;
        let end = if bounded {
            end(&choice, way).build().fetch_optional_scalar::<i64>(&mut look).await.map_err(during())?
        } else {
            None
        };
        if let Some(end) = end {
            choice.span.after = MessageId(end - 1);
        }
        let rows = page(&choice, way, limit).build().fetch_all(&mut look).await.map_err(during())?;
        let mut rows: Vec<MessageRow> = rows.iter().map(message_row).collect::<Result<_, _>>()?;
        if is_led && way == Way::Recent && choice.state.is_none() {
            rows.extend(about_to_reach(&mut look, choice, limit).await?);
            rows.sort_unstable_by_key(|row| std::cmp::Reverse(row.id));
            rows.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        }
        let last = rows.last().map(|row| row.id.0);
        let missing = usize::try_from(limit).unwrap_or(usize::MAX).saturating_sub(rows.len());
        let Some((recipient, posted)) = posted.filter(|_| end.is_none() && missing > 0) else {
            return Ok(page_of(rows, limit, last, end));
        };
        // What is newer than the last signpost was walked; behind it they lead the way.
        choice.span = Span { after: span.after, until: span.until.min(posted) };
        let found = signpost::follow(&mut look, &choice, recipient, missing).await?;
        rows.extend(found.rows);
        Ok(Page { rows, next: found.end })
    }

    /// The first messages of the filter in that span, oldest first, at most so many, each with the state it is in: a step
    /// of a bulk act. Reads every message of these states at most once, in an index.
    ///
    /// # Panics
    ///
    /// On a state that no act moves a message from.
    pub async fn bulk(
        &self,
        filter: &BulkFilter,
        span: Span,
        planned: Planned,
        most: u32,
    ) -> Result<Vec<(MessageId, State)>, StoreError> {
        let mut look = self.look().await?;
        let span = within(&mut look, filter.run, span).await?;
        let mut found = Vec::new();
        for state in &filter.states {
            let choice = Choice::of_act(filter, *state, span);
            let ids: Vec<i64> = next(&choice, way_of_act(*state), planned, most)
                .build()
                .fetch_scalars(&mut look)
                .await
                .map_err(StoreError::during("find messages to act on"))?;
            found.extend(ids.into_iter().map(|id| (MessageId(id), *state)));
        }
        found.sort_unstable_by_key(|(id, _)| *id);
        found.truncate(usize::try_from(most).expect("a step fits into memory"));
        Ok(found)
    }

    /// How many messages of the filter there are, of those that its ages allow.
    ///
    /// # Panics
    ///
    /// On a state that no act moves a message from.
    pub async fn count_bulk(&self, filter: &BulkFilter, span: Span) -> Result<BulkCount, StoreError> {
        let during = || StoreError::during("count messages to act on");
        let mut look = self.look().await?;
        let last: Option<i64> = both(Dated::Messages.last()).fetch_scalar(&mut look).await.map_err(during())?;
        let mut counted = BulkCount { last: last.map(|last| MessageId(last).min(span.until)), ..BulkCount::default() };
        let span = within(&mut look, filter.run, span).await?;
        let everything =
            span == Span::ALL && filter.template.is_none() && filter.recipient.is_none() && filter.reason.is_none();
        for state in &filter.states {
            let choice = Choice::of_act(filter, *state, span);
            let way = way_of_act(*state);
            let query = if everything { tally(&choice) } else { count(&choice, way) };
            let rows = query.build().fetch_all(&mut look).await.map_err(during())?;
            let group = |row: &Row| {
                let count = u64::try_from(row.get::<i64>(1)).expect("a count is not negative");
                (*state, row.get::<String>(0), count)
            };
            counted.groups.extend(rows.iter().map(group).filter(|group| group.2 > 0));
            if state.is_dead() && !counted.ambiguous {
                counted.ambiguous = ambiguous(&choice, way).build().fetch_scalar(&mut look).await.map_err(during())?;
            }
        }
        Ok(counted)
    }

    /// The stretch of messages that were accepted in that time.
    pub async fn span(&self, filter: &MessageFilter) -> Result<Span, StoreError> {
        stretch(&mut *self.look().await?, filter).await
    }
}

/// Those of a recipient's messages that are queued or being sent. They are found among all that are: what is queued has its
/// recipient in its index, and what is on its way is bounded.
async fn about_to_reach(look: &mut Connection, choice: Choice<'_>, limit: u32) -> Result<Vec<MessageRow>, StoreError> {
    let mut found = Vec::new();
    for (state, way) in [(State::Queued, QUEUED), (State::Sending, SENDING)] {
        let choice = Choice { state: Some(state), ..choice };
        let page = page(&choice, way, limit).build();
        let rows = page.fetch_all(look).await.map_err(StoreError::during("list what is about to be sent"))?;
        found.extend(rows.iter().map(message_row).collect::<Result<Vec<_>, _>>()?);
    }
    Ok(found)
}

/// What of a span a run's messages lie in.
async fn within(look: &mut Connection, run: Option<RunId>, span: Span) -> Result<Span, StoreError> {
    let Some(run) = run else { return Ok(span) };
    let of_run = super::run::stretch(look, run).await?;
    Ok(Span { after: span.after.max(of_run.after), until: span.until.min(of_run.until) })
}

/// What the writer counted.
pub(crate) fn tally<'a>(choice: &Choice<'a>) -> Builder<'a> {
    let mut query = Builder::new("SELECT c.name, ");
    query
        .push_each(Statement::new(
            "n.count FROM channel AS c CROSS JOIN tally AS n ON n.channel_id = c.id",
            "sum(n.count)::bigint FROM channel AS c JOIN tally AS n ON n.channel_id = c.id",
        ))
        .push(" WHERE n.state = ")
        .push_bind(choice.state.map_or(-1, State::code));
    if let Some(channel) = choice.channel {
        query.push(" AND c.name = ").push_bind(channel.to_owned());
    }
    // Each node counts in rows of its own.
    query.push_each(Statement::new("", " GROUP BY c.name"));
    query
}

fn way_of_act(state: State) -> Way {
    index(state).unwrap_or_else(|| panic!("{state} messages are not acted on in bulk"))
}

/// The way to what is chosen: an index that is no longer than a page may look, or one that has the order of the list. Of one
/// recipient what is queued is on no other way on PostgreSQL.
async fn way(look: &mut Connection, choice: &Choice<'_>) -> Result<Way, StoreError> {
    let way = choice.state.and_then(index).unwrap_or(Way::Recent);
    let is_only_way = way == QUEUED && choice.recipient.is_some() && look.dialect() == Dialect::Postgres;
    if is_only_way || !matches!(way, Way::Whole(_)) {
        return Ok(way);
    }
    let rows = tally(choice).build().fetch_all(look).await.map_err(StoreError::during("read the counts"))?;
    let few = rows.iter().map(|row| row.get::<i64>(1)).sum::<i64>() <= LIST_WALK_MAX;
    Ok(if few { way } else { Way::Recent })
}

async fn stretch(look: &mut Connection, filter: &MessageFilter) -> Result<Span, StoreError> {
    let mut span = Span::ALL;
    if let Some(at) = filter.newer_than {
        span.after = MessageId(last_before(look, Dated::Messages, at).await?);
    }
    if let Some(at) = filter.older_than {
        span.until = MessageId(last_before(look, Dated::Messages, at).await?);
    }
    Ok(span)
}
