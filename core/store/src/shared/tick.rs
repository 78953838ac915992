//! One transaction of the writer: the steps, in their order.
//!
//! Outcomes first, so that what they free can be claimed at once; claims last, so that they see everything. Each step
//! is one statement over many rows, or a few: never a statement per row on the hot path.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use tidings_model::{State, Timestamp};

use super::accept::{Taken, any_keyed, begin_and_find_keys};
use super::due::{earliest, quiet_until};
use super::floor::Floors;
use super::suppression::{Suppressed, any};
use super::tally::{Moves, Tally};
use super::writer::{Home, LOOK_NOW, Last, Writer};
use crate::batch::{Batch, ChannelId, ClaimRequest, Committed, Settle, Sweep};
use crate::error::{StoreError, TRIES_MAX};
use crate::notice::NewNotice;
use crate::sql::{Connection, Dialect, Json, Query, ROWS_MAX, RowsStatement, Statement, both, sql};

impl Writer {
    /// Commits everything in the batch, or nothing; on a server some of its claims may be left for later.
    ///
    /// When this returns `Ok`, what it says is on disk. When it returns an error nothing of the batch is, unless the
    /// error came from the commit itself: then nobody can say, and the caller must not answer yes.
    ///
    /// # Panics
    ///
    /// On an [`Operation`](crate::Operation) that is no act of an operator.
    pub async fn commit(&mut self, batch: &Batch) -> Result<Committed, StoreError> {
        self.commit_and_tell(batch, |_| Vec::new()).await
    }

    /// The same, and what `tell` answers with to what the batch did is written in the same transaction: what webhooks are
    /// to be told. It is asked before anything of it is on disk, perhaps more than once: of a transaction the last answer counts,
    /// and if a turn leaves something to claim that is a transaction of its own.
    pub async fn commit_and_tell(
        &mut self,
        batch: &Batch,
        mut tell: impl FnMut(&Committed) -> Vec<NewNotice> + Send,
    ) -> Result<Committed, StoreError> {
        self.resolve_doubt().await?;
        // Whatever ends this early leaves a transaction open, and the next one connects anew.
        self.in_doubt = true;
        self.look_around(batch.now).await?;
        self.take_over_arrivals();
        if let Home::Server(server) = &mut self.home {
            let rows = self.tally.on_their_way() + length(batch.rows());
            server.access.renew_plans(&mut self.connection, rows).await?;
        }
        let mut manner = Manner::Counts;
        if let Some(asks) = self.asks(batch).filter(|_| tell(&all_settled(batch)).is_empty()) {
            match self.turn(batch, &asks).await {
                Ok((turned, rest)) => {
                    self.in_doubt = false;
                    return Ok(match rest {
                        None => turned,
                        // Apart: it is as large as all the others together, and rare.
                        Some(rest) => Box::pin(self.claim_rest(turned, &rest, &batch.claims, &mut tell)).await,
                    });
                }
                Err(error) if is_begun_again(&error, self.connection.dialect()) => manner = Manner::Looks,
                Err(error) => {
                    self.doubt();
                    return Err(error);
                }
            }
        }
        self.commit_by_steps(batch, manner, &mut tell).await
    }

    /// Claims what a turn left, which is on disk whatever comes of this. It is tried once, and by no other node: what the turn
    /// claimed is this one's, and by the next node's lease it would be sent although others may have taken it over.
    async fn claim_rest(
        &mut self,
        turned: Committed,
        rest: &Batch,
        asked: &[ClaimRequest],
        tell: &mut (impl FnMut(&Committed) -> Vec<NewNotice> + Send),
    ) -> Committed {
        self.in_doubt = true;
        let error = match self.transact(rest, Manner::Counts, tell).await {
            Ok(committed) => {
                self.in_doubt = false;
                return turned.and_then(committed, asked);
            }
            Err(error) => error,
        };
        if !is_begun_again(&error, self.connection.dialect()) {
            tracing::warn!("claim what a turn left: {error}");
            self.doubt();
        } else if both("ROLLBACK").execute(&mut self.connection).await.is_ok() {
            self.in_doubt = false;
        }
        turned
    }

    async fn commit_by_steps(
        &mut self,
        batch: &Batch,
        mut manner: Manner,
        tell: &mut (impl FnMut(&Committed) -> Vec<NewNotice> + Send),
    ) -> Result<Committed, StoreError> {
        for _ in 0..TRIES_MAX {
            let done = self.transact(batch, manner, tell).await;
            if !done.as_ref().is_err_and(|error| is_begun_again(error, self.connection.dialect())) {
                self.in_doubt = done.is_err();
                if self.in_doubt {
                    self.doubt();
                }
                return done;
            }
            manner = Manner::Looks;
            both("ROLLBACK").execute(&mut self.connection).await.map_err(StoreError::during("roll back"))?;
            self.rejoin().await?;
        }
        self.in_doubt = false;
        Err(StoreError::Contended)
    }

    /// Beside other engines rows and parts of the ledger are locked until the end, and whoever waits for a lock waits in
    /// this order alone, so that no two wait for each other:
    ///
    /// 1. rows that a step picked: messages that are settled or moved, runs, keys, schedules, each statement in the order
    ///    of ids; what is made due, ends or is sent is picked past what another has locked;
    /// 2. parts of the ledger, once, in their order: who waits for what came is woken, past those whom another moves;
    /// 3. channels, once, in the order of their ids;
    /// 4. webhooks, in the order that the batch names them, and the one row of `change`. Two engines seldom write how the same
    ///    two webhooks stand; if they meet, one of them begins again.
    ///
    /// A claim has channels already. It waits for no permit that another has locked, and for no part of the ledger: the
    /// message stays queued, and is looked at again soon.
    async fn transact(
        &mut self,
        batch: &Batch,
        manner: Manner,
        tell: &mut (impl FnMut(&Committed) -> Vec<NewNotice> + Send),
    ) -> Result<Committed, StoreError> {
        let now = batch.now;
        let mut committed = Committed::default();
        let taken = self.begin_transaction(batch).await?;
        // Others may have let somebody wait since this was counted.
        let waiting = match self.connection.dialect() {
            Dialect::Sqlite => self.tally.waiting(),
            Dialect::Postgres => i64::MAX,
        };
        let looks_for_met = self.looks_for_met();
        let (node, nodes) = match &self.home {
            Home::File(_) => (0, Vec::new()),
            Home::Server(server) => (server.membership.node(), server.membership.nodes()),
        };
        let mut step = Step {
            connection: &mut self.connection,
            moves: Moves::default(),
            now,
            manner,
            counts_as: None,
            waiting,
            last: self.last,
            node,
            claim: self.claim,
            freed: self.unwoken.clone(),
            // If this fails nothing is known of them any more.
            floors: std::mem::take(&mut self.floors),
        };

        committed.settled = step.settle(&batch.settles).await?;
        committed.operated = step.operate(&batch.operations, &mut committed.moved).await?;
        committed.ran = step.save_runs(&batch.runs).await?;
        committed.recorded = step.record(batch, &committed.operated, &committed.ran).await?;
        step.save_suppressions(&batch.suppressions).await?;
        let suppresses = self.suppresses || !batch.suppressions.is_empty();
        let suppressed = if suppresses && !batch.messages.is_empty() {
            step.suppressed(&batch.messages.iter().collect::<Vec<_>>(), &self.apps).await?
        } else {
            Suppressed::new()
        };
        let over = step.over(&batch.steps).await?;
        committed.accepted = step.accept(&batch.messages, taken, &suppressed, &over, &self.apps).await?;
        committed.stepped = step.step_runs(&batch.steps, &committed.accepted, &over).await?;
        committed.credentials = step.take_credentials(&batch.credentials).await?;
        step.withdraw(&batch.withdrawals).await?;
        let applied = batch.settles.iter().zip(&committed.settled).filter(|(_, applied)| **applied);
        let applied: Vec<&Settle> = applied.map(|(settle, _)| settle).collect();
        let met = if looks_for_met { step.receipts_met().await? } else { Vec::new() };
        let (received, moved, early) = step.receive(&batch.receipts, &applied, &met, &self.early, &self.apps).await?;
        committed.received = received;
        committed.moved.extend(moved);
        step.save_tokens(&batch.tokens).await?;
        step.save_apps(&batch.apps).await?;
        step.save_keys(&batch.keys).await?;
        committed.fired = step.fire(&batch.firings).await?;
        step.change_schedules(&batch.schedules).await?;
        if batch.wake_all || self.unwoken.len() > UNWOKEN_MAX {
            step.wake_all().await?;
        }
        let mut quiet_until = earliest(self.quiet_until, quiet_until(batch));
        if let Some(by) = batch.set_back {
            step.set_back(by, &nodes).await?;
            step.floors = Floors::default();
            quiet_until = LOOK_NOW;
        }
        let is_quiet = batch.spare || quiet_until.is_none_or(|at| at > now);
        if !is_quiet {
            committed.more |= step.promote().await?;
            committed.more |= step.expire(&mut committed.moved).await?;
        }
        for sweep in &batch.sweeps {
            committed.swept.push(match (&mut self.home, sweep) {
                // By the day, and aside: the transaction waits for nobody who reads the history.
                (Home::Server(server), Sweep::Messages { done_before, failed_before, .. }) => {
                    server.sweep_days(*done_before, *failed_before).await
                }
                _ => step.sweep(sweep).await?,
            });
        }
        step.save_signposts(&batch.signposts).await?;
        // The last of them may have left just now.
        let may_have_left =
            !batch.suppressions.is_empty() || batch.sweeps.iter().any(|sweep| matches!(sweep, Sweep::Audit { .. }));
        let suppresses = if suppresses && may_have_left { any(&mut *step.connection).await? } else { suppresses };
        step.wake_freed().await?;
        for channel in step.moves.queued_again() {
            step.floors.forget(channel);
        }
        let lanes = step.hold_lanes(&self.tally, &batch.lanes, &batch.claims).await?;
        step.save_lanes(&batch.lanes).await?;
        for request in &batch.claims {
            let app = self.apps.get(&request.channel).filter(|_| suppresses);
            step.claim(&self.tally, request, &lanes, app, &mut committed).await?;
        }
        // Whom the claims turned away: alone there is nobody whose lock would be waited for.
        if step.connection.dialect() == Dialect::Sqlite {
            step.wake_freed().await?;
        }
        step.settle_notices(&batch.notices, &self.pending, &mut committed.backlogs).await?;
        step.resume_webhooks(&batch.resumed, &self.pending, &mut committed.backlogs).await?;
        let notices = tell(&committed);
        step.add_notices(&notices, &self.pending, &mut committed.backlogs).await?;
        committed.next_due = if is_quiet { quiet_until } else { step.next_due().await? };
        if !step.freed.is_empty() {
            committed.next_due = earliest(committed.next_due, Some(now.after(WAKE_AGAIN)));
        }
        let version = step.bump(batch).await?;
        let Ended { moves, last, unwoken, floors } = step.end().await?;

        self.last = last;
        self.tally.apply(moves);
        self.unwoken = unwoken;
        self.floors = floors;
        self.early.apply(early);
        if looks_for_met {
            self.met_at = Instant::now();
        }
        // Where another engine changed something meanwhile its part is still to be read.
        if version == Some(self.version + 1) {
            self.version += 1;
        }
        self.suppresses = suppresses;
        self.beside.say_who_is_suppressed(suppresses);
        self.remember(&committed);
        self.after_commit(batch, &committed).await;
        Ok(committed)
    }

    /// Begins the transaction, under a number of its own. SQLite says at once which of the messages' keys are taken.
    async fn begin_transaction(&mut self, batch: &Batch) -> Result<Option<Taken>, StoreError> {
        // Before anything can fail: what is in doubt is this transaction, and never the one before, whose claims are out.
        self.claim += 1;
        match self.connection.dialect() {
            Dialect::Sqlite if any_keyed(&batch.messages) => {
                begin_and_find_keys(&mut self.connection, &batch.messages, batch.now).await.map(Some)
            }
            _ => {
                BEGIN.query().execute(&mut self.connection).await.map_err(StoreError::during("begin"))?;
                Ok(None)
            }
        }
    }

    /// Keeps for the next transaction what this one was answered.
    fn remember(&mut self, committed: &Committed) {
        let pending = committed.backlogs.iter().map(|(webhook, backlog)| (webhook.clone(), backlog.pending));
        self.pending.extend(pending);
        self.quiet_until = committed.next_due;
    }

    /// What follows a transaction that is on disk, whatever comes of this: what is wrong with the disk, the next one will meet.
    async fn after_commit(&mut self, batch: &Batch, committed: &Committed) {
        match &mut self.home {
            Home::File(file) => {
                let rows = batch.rows() + committed.claimed.len();
                if let Err(error) = file.committed(&mut self.connection, rows).await {
                    tracing::warn!("{error}");
                }
            }
            // What is new and was not claimed here may be somebody else's to send.
            Home::Server(server) if !committed.accepted.is_empty() || batch.changes_standing() => server.bell.ring(),
            Home::Server(_) => {}
        }
    }
}

/// What a turn does, as far as webhooks may be told of it.
fn all_settled(batch: &Batch) -> Committed {
    Committed { settled: vec![true; batch.settles.len()], ..Committed::default() }
}

/// How a batch is written. Either way each statement's own condition holds back what is late, or somebody else's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    /// As if there were nobody else, and what was written is counted: if a row was held back, the transaction begins again
    /// with [`Manner::Looks`].
    Counts,
    /// Outcomes that are late are sorted out before, and permits are locked before one is chosen.
    Looks,
}

/// One transaction under way.
pub(super) struct Step<'a> {
    pub(super) connection: &'a mut Connection,
    pub(super) moves: Moves,
    pub(super) last: Last,
    pub(super) now: Timestamp,
    pub(super) manner: Manner,
    /// The statement that takes messages in counts them too, as that node's, and nothing else does; `None` where the end of
    /// the transaction does.
    pub(super) counts_as: Option<i64>,
    /// Messages that waited for a credential when the transaction began. Where nobody waits, nobody is woken.
    pub(super) waiting: i64,
    /// Which engine this is, and its transaction, where there are several.
    pub(super) node: i64,
    pub(super) claim: i64,
    /// Whose credentials came or came back, and whose messages that wait were not woken yet.
    pub(super) freed: Vec<String>,
    /// Up to where the queues were claimed, on a server.
    pub(super) floors: Floors,
}

/// What a transaction leaves for the next one.
struct Ended {
    moves: Moves,
    last: Last,
    unwoken: Vec<String>,
    floors: Floors,
}

/// Whether the same is done again, looking first, after an error of the transaction.
pub(super) fn is_begun_again(error: &StoreError, dialect: Dialect) -> bool {
    match error {
        // Rare.
        StoreError::Late => true,
        // Another engine was quicker.
        error if error.is_contention() && dialect == Dialect::Postgres => {
            tracing::debug!("the same batch again: {error}");
            true
        }
        _ => false,
    }
}

/// The counts and the end of the transaction: to SQLite one hop.
static SAVE_TALLY_AND_COMMIT: LazyLock<RowsStatement> = LazyLock::new(|| {
    let text = sql!("save_tally").text(Dialect::Sqlite);
    RowsStatement::one_after_the_other(&[&format!("{text};\n{COMMIT}")])
});
static SAVE_TALLY: LazyLock<RowsStatement> = LazyLock::new(|| RowsStatement::new(sql!("save_tally")));

/// SQLite takes the right to write at once: one that is asked for later may be refused, and then nothing helps.
pub(super) const BEGIN: Statement = Statement::new("BEGIN IMMEDIATE", "BEGIN ISOLATION LEVEL READ COMMITTED");
const COMMIT: &str = "COMMIT";

/// When those are asked again who wait for a credential and whom another engine was just moving.
const WAKE_AGAIN: Duration = Duration::from_millis(50);

/// Recipients that are remembered for it; if there are more, whoever waits is asked again.
const UNWOKEN_MAX: usize = 4096;

pub(super) fn length(count: usize) -> i64 {
    i64::try_from(count).expect("a batch is bounded")
}

impl Step<'_> {
    async fn end(mut self) -> Result<Ended, StoreError> {
        self.commit().await?;
        Ok(Ended { moves: self.moves, last: self.last, unwoken: self.freed, floors: self.floors })
    }

    /// Writes the counts, and commits.
    pub(super) async fn commit(&mut self) -> Result<(), StoreError> {
        let rows = self.moves.rows();
        let mut slices = rows.chunks(ROWS_MAX).peekable();
        let is_one_hop = self.connection.dialect() == Dialect::Sqlite;
        while let Some(rows) = slices.next_if(|rows| !is_one_hop || rows.len() == ROWS_MAX) {
            let query = counts(SAVE_TALLY.query(rows.len()), rows).bind_postgres(self.node);
            self.run(query).await.map_err(StoreError::during("write the counts"))?;
        }
        // With the last of them, as a rule the only one, comes the end.
        let query = match slices.next() {
            Some(rows) => counts(SAVE_TALLY_AND_COMMIT.query(rows.len()), rows),
            None => both(COMMIT),
        };
        self.run(query).await.map(drop).map_err(StoreError::during("commit"))
    }

    /// Has other engines read again what each keeps in memory, if the batch changes that.
    async fn bump(&mut self, batch: &Batch) -> Result<Option<i64>, StoreError> {
        if self.connection.dialect() == Dialect::Sqlite || !batch.changes_standing() {
            return Ok(None);
        }
        let bump = sql!(postgres "change_bump").query();
        bump.fetch_scalar(self.connection).await.map(Some).map_err(StoreError::during("tell other engines of a change"))
    }

    /// Ids for so many new rows.
    pub(super) async fn new_ids(&mut self, of: Numbered, rows: usize) -> Result<Vec<i64>, StoreError> {
        if rows == 0 {
            return Ok(Vec::new());
        }
        match self.connection.dialect() {
            Dialect::Sqlite => {
                let last = of.of(&mut self.last);
                let first = *last + 1;
                *last += length(rows);
                Ok((first..=*last).collect())
            }
            Dialect::Postgres => both(of.next()).bind(length(rows)).fetch_json(self.connection, "take new ids").await,
        }
    }

    /// Runs a statement that answers with no rows, and says how many it wrote.
    pub(super) async fn run(&mut self, query: Query<'_>) -> Result<u64, sqlx::Error> {
        query.execute(self.connection).await
    }

    /// A statement whose one argument is a JSON array.
    pub(super) async fn execute(&mut self, sql: Statement, rows: Json) -> Result<(), sqlx::Error> {
        sql.query().bind(rows).execute(self.connection).await.map(drop)
    }

    pub(super) fn queued(&self, tally: &Tally, channel: ChannelId) -> i64 {
        self.moves.count(tally, channel, State::Queued)
    }
}

/// Binds the changes of counts in the order of `save_tally.sql`.
fn counts<'q>(mut query: Query<'q>, rows: &[(i64, i64, i64)]) -> Query<'q> {
    for (channel, state, change) in rows {
        query = query.bind(*channel).bind(*state).bind(*change);
    }
    query
}

pub(super) fn apart(state: Option<&(Timestamp, String)>) -> (Option<i64>, Option<&str>) {
    (state.map(|(at, _)| at.0), state.map(|(_, text)| text.as_str()))
}

/// Rows that are numbered.
#[derive(Debug, Clone, Copy)]
pub(super) enum Numbered {
    Message,
    Credential,
    Audit,
    Run,
}

impl Numbered {
    /// The one that was given out last, of the only engine there is.
    fn of(self, last: &mut Last) -> &mut i64 {
        match self {
            Numbered::Message => &mut last.message,
            Numbered::Credential => &mut last.credential,
            Numbered::Audit => &mut last.audit,
            Numbered::Run => &mut last.run,
        }
    }

    /// PostgreSQL's statement: so many that no other engine has.
    fn next(self) -> &'static str {
        match self {
            // They are given out as the messages are written.
            Numbered::Message => unreachable!("no message has an id before it is written"),
            Numbered::Credential => "SELECT json_agg(nextval('credential_id'))::text FROM generate_series(1, $1)",
            Numbered::Audit => "SELECT json_agg(nextval('audit_id'))::text FROM generate_series(1, $1)",
            Numbered::Run => "SELECT json_agg(nextval('run_id_seq'))::text FROM generate_series(1, $1)",
        }
    }
}
