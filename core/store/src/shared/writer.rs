//! The one way to change a store: its connection, what it remembers from one transaction to the next, and where it lives.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tidings_model::{AppName, ChannelName, State, TemplateName, Timestamp, WebhookName};
use tokio::sync::Notify;

use super::due::earliest;
use super::floor::Floors;
use super::intake::{Arrived, Beside, Intake};
use super::receipt::Early;
use super::tally::Tally;
use super::{keys, notice, row, suppression};
use crate::batch::{AppHalt, ChannelId, ChannelState, KeyRow, Orphan, TemplateId, TokenRow};
use crate::error::StoreError;
use crate::news::{FetchRight, News};
use crate::notice::WebhookStanding;
use crate::postgres::{Lease, TAKEN_OVER_MAX};
use crate::sql::{Backend, Connection, Dialect, Statement, both, sql};
use crate::{postgres, sqlite};

/// A time before every other: the next transaction looks for what is due.
pub(super) const LOOK_NOW: Option<Timestamp> = Some(Timestamp(i64::MIN));

/// How old may be what is remembered of a store that other engines change, too.
const LOOK_AROUND: Duration = Duration::from_millis(250);

/// For how long a transaction that failed for all we knew may yet land: behind a pooler it is not always known what the
/// server has for a connection, and so whether that has ended.
const DOUBT_LASTS: Duration = Duration::from_secs(600);

/// How old may be what hangs on many rows, and whose age nothing depends on: the receipts that wait, and how many notices do.
const READ_ALL_AGAIN: Duration = Duration::from_secs(1);

/// How often orphans are looked for although no lease ended lately: what is being sent by an engine that is not known, because
/// somebody removed it by hand, and what could not be taken over before.
const ORPHANS_AGAIN: Duration = Duration::from_secs(60);

/// How often receipts are looked for whose message has its outcome, while any wait.
const MET_AGAIN: Duration = Duration::from_secs(1);

/// Doubtful transactions that are looked for.
const DOUBTFUL_MAX: usize = 256;

/// The one way to change the store.
#[derive(Debug)]
pub struct Writer {
    pub(super) connection: Connection,
    pub(super) home: Home,
    pub(super) tally: Tally,
    pub(super) early: Early,
    /// Up to where the queues were claimed, on a server.
    pub(super) floors: Floors,
    /// Whose app the messages of a channel are sent with: a provider's name for a message holds in its app alone.
    pub(super) apps: HashMap<ChannelId, AppName>,
    /// Somebody may be suppressed: as long as nobody is, nobody asks.
    pub(super) suppresses: bool,
    pub(super) last: Last,
    /// No message becomes due or runs out of time before this; `None` if none ever does. Until then nobody looks.
    pub(super) quiet_until: Option<Timestamp>,
    /// The version of what every engine keeps in memory that this one has.
    pub(super) version: i64,
    /// When what others may have changed was read last.
    pub(super) looked_at: Instant,
    /// When all of it was.
    read_all_at: Instant,
    /// When receipts were looked for whose message has its outcome.
    pub(super) met_at: Instant,
    /// Claims are numbered, so that those of a transaction of which nobody can say whether it landed are found again.
    pub(super) claim: i64,
    /// The numbers of those of which nobody can say whether they landed, and since when. The newest ones are kept.
    doubtful: VecDeque<(i64, Instant)>,
    /// The numbers under which orphans were taken over and no answer was heard, and since when. The newest ones are kept.
    unheard: VecDeque<(i64, Instant)>,
    /// When what nobody has was looked for last, on a server.
    orphans_at: Option<Instant>,
    /// What the server may still have for connections that were given up: at most one of them has more to say.
    left: Vec<Backend>,
    /// Who waits for a credential that came, and was not woken: another engine was just moving what waits. Whoever starts
    /// next wakes all, so a crash loses nothing by it.
    pub(super) unwoken: Vec<String>,
    /// A transaction failed: whether it landed, and what state the connection is in, nobody can say.
    pub(super) in_doubt: bool,
    instance: String,
    /// How many notices of each webhook wait.
    pub(super) pending: notice::Pending,
    /// What it and its intakes know of each other.
    pub(super) beside: Arc<Beside>,
    /// That something came through them, until somebody asks.
    arrived: Option<Arrived>,
}

/// Where a store lives.
#[derive(Debug)]
pub(crate) enum Home {
    /// In a file of its own.
    File(Box<sqlite::Home>),
    /// In a database that several engines share.
    Server(Box<postgres::Home>),
}

impl Home {
    async fn connect(&self) -> Result<Connection, StoreError> {
        match self {
            Home::File(file) => file.connect().await,
            Home::Server(server) => server.access.connect().await,
        }
    }
}

/// The ids that were given out last.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Last {
    pub(super) message: i64,
    pub(super) credential: i64,
    pub(super) audit: i64,
    pub(super) run: i64,
}

impl Last {
    async fn load(connection: &mut Connection) -> Result<Last, StoreError> {
        Ok(Last {
            message: sequence(connection, "message").await?,
            credential: sequence(connection, "credential").await?,
            audit: sequence(connection, "audit").await?,
            run: sequence(connection, "run").await?,
        })
    }
}

/// The numbers of names.
#[derive(Debug, Clone, Default)]
pub struct Ids {
    /// Channels.
    pub channels: HashMap<ChannelName, ChannelId>,
    /// Templates.
    pub templates: HashMap<TemplateName, TemplateId>,
}

impl Writer {
    /// A writer of a store whose schema is this program's.
    pub(crate) async fn begin(mut connection: Connection, home: Home) -> Result<Writer, StoreError> {
        let beside = Arc::<Beside>::default();
        let suppresses = suppression::any(&mut connection).await?;
        beside.say_who_is_suppressed(suppresses);
        Ok(Writer {
            tally: Tally::load(&mut connection).await?,
            early: Early::load(&mut connection).await?,
            last: Last::load(&mut connection).await?,
            pending: notice::pending(&mut connection).await?,
            suppresses,
            instance: instance(&mut connection).await?,
            floors: Floors::default(),
            apps: HashMap::new(),
            quiet_until: LOOK_NOW,
            version: 0,
            looked_at: Instant::now(),
            read_all_at: Instant::now(),
            met_at: Instant::now(),
            claim: 0,
            doubtful: VecDeque::new(),
            unheard: VecDeque::new(),
            orphans_at: None,
            left: Vec::new(),
            unwoken: Vec::new(),
            in_doubt: false,
            beside,
            arrived: None,
            connection,
            home,
        })
    }

    /// Connects anew after a transaction that failed, and reads again what was remembered: the transaction may have
    /// landed, and a connection whose commit failed takes no other (a full disk did it once, for good). On a server nothing
    /// is read before what it has for the former connection is gone: its commit could still land.
    pub(super) async fn resolve_doubt(&mut self) -> Result<(), StoreError> {
        if !self.in_doubt && !self.connection.is_lost() {
            return Ok(());
        }
        self.in_doubt = true;
        let fresh = self.home.connect().await?;
        let before = std::mem::replace(&mut self.connection, fresh);
        self.left.extend(before.backend().cloned());
        // What it was in the middle of is rolled back with it.
        if let Err(error) = before.close_hard().await {
            tracing::warn!("close a connection that failed: {error}");
        }
        if let Home::Server(server) = &mut self.home {
            server.access.lay_to_rest(&mut self.connection, &mut self.left).await?;
            // Another server may have come to its place, or another copy of the database.
            server.days.forget();
            server.membership.rejoin(&mut self.connection).await?;
        }
        self.last = Last::load(&mut self.connection).await?;
        self.read_again().await?;
        self.in_doubt = false;
        Ok(())
    }

    /// What was answered. A connection that did not answer as it should is given up before the next question.
    fn heard<T>(&mut self, answer: Result<T, StoreError>) -> Result<T, StoreError> {
        self.in_doubt |= answer.is_err();
        answer
    }

    /// Whether it is time to look for receipts that wait and need not: none does where no other engine writes outcomes.
    pub(super) fn looks_for_met(&self) -> bool {
        matches!(self.home, Home::Server(_)) && !self.early.is_empty() && self.met_at.elapsed() >= MET_AGAIN
    }

    /// Notes that nobody can say whether the last transaction landed.
    pub(super) fn doubt(&mut self) {
        if matches!(self.home, Home::Server(_)) {
            note(&mut self.doubtful, self.claim);
        }
    }

    /// Undoes the claims of transactions that landed although they had failed for all we knew.
    async fn undo_doubtful(&mut self) -> Result<(), StoreError> {
        let Home::Server(server) = &self.home else { return Ok(()) };
        self.doubtful.retain(|(_, since)| since.elapsed() < DOUBT_LASTS);
        if self.doubtful.is_empty() {
            return Ok(());
        }
        // What is put back now may stand anywhere, whether or not we hear of it.
        self.floors = Floors::default();
        let claims: Vec<i64> = self.doubtful.iter().map(|(claim, _)| *claim).collect();
        let (released, freed) = server.release_claims(&mut self.connection, &claims).await?;
        self.unwoken.extend(freed);
        if released > 0 {
            tracing::warn!(released, "a transaction landed that had failed for all we knew; its claims are undone");
        }
        Ok(())
    }

    /// Joins again as another node if the lease is over.
    pub(super) async fn rejoin(&mut self) -> Result<(), StoreError> {
        match &mut self.home {
            Home::File(_) => Ok(()),
            Home::Server(server) => server.membership.rejoin(&mut self.connection).await,
        }
    }

    /// Reads again what is remembered from one transaction to the next, once what is in doubt is undone.
    async fn read_again(&mut self) -> Result<(), StoreError> {
        self.undo_doubtful().await?;
        self.early = Early::load(&mut self.connection).await?;
        self.pending = notice::pending(&mut self.connection).await?;
        self.read_all_at = Instant::now();
        self.glance().await
    }

    /// Reads again what another engine's next transaction may depend on here: a few rows.
    async fn glance(&mut self) -> Result<(), StoreError> {
        self.take_over_arrivals();
        self.tally = Tally::load(&mut self.connection).await?;
        self.suppresses = suppression::any(&mut self.connection).await?;
        self.beside.say_who_is_suppressed(self.suppresses);
        self.quiet_until = LOOK_NOW;
        self.looked_at = Instant::now();
        Ok(())
    }

    /// Looks before a transaction what other engines changed, where there may be any and it was not done just now.
    pub(super) async fn look_around(&mut self, now: Timestamp) -> Result<(), StoreError> {
        let Home::Server(server) = &mut self.home else { return Ok(()) };
        server.days.ensure(&mut self.connection, now).await?;
        if !server.membership.lease().is_trusted() {
            server.membership.rejoin(&mut self.connection).await?;
        }
        if self.looked_at.elapsed() < LOOK_AROUND {
            return Ok(());
        }
        if self.read_all_at.elapsed() >= READ_ALL_AGAIN { self.read_again().await } else { self.glance().await }
    }

    /// Whether other engines may have the same store open.
    pub fn is_shared(&self) -> bool {
        matches!(self.home, Home::Server(_))
    }

    /// Whether there are ways in beside this one. To a file there are none. A pooler has few sessions, and what is set for a
    /// transaction there costs a statement the round trips that it saves.
    pub fn has_intakes(&self) -> bool {
        matches!(&self.home, Home::Server(server) if server.access.is_direct())
    }

    /// A way in beside this one, for messages alone, if there is any ([`Writer::has_intakes`]). It has the writer told what
    /// came, and as many as are of use may be at work.
    pub fn intake(&self) -> Option<Intake> {
        let Home::Server(server) = &self.home else { return None };
        if !self.has_intakes() {
            return None;
        }
        let (lease, bell) = (server.membership.lease(), server.bell.ringer());
        Some(Intake::new(Arc::clone(&self.beside), server.access.another(), lease, bell))
    }

    /// Notified when something came through an [`Intake`].
    pub fn arrived(&self) -> Arc<Notify> {
        self.beside.arrived()
    }

    /// Takes over what came through intakes; `None` if nothing came.
    pub fn hear_intakes(&mut self) -> Option<Arrived> {
        self.take_over_arrivals();
        self.arrived.take()
    }

    /// Called before the counts are read, they have what was taken over. What comes while they are read may be in them and yet
    /// be added: until they are read again, a quarter of a second later, more seems to be there than is. Whoever looks for it
    /// in vain rests ([`Floors`]).
    pub(super) fn take_over_arrivals(&mut self) {
        if let Some(arrived) = self.beside.hear(&mut self.tally, &mut self.floors) {
            self.quiet_until = earliest(self.quiet_until, arrived.ahead);
            let before = self.arrived.and_then(|before| before.ahead);
            self.arrived = Some(Arrived { ahead: earliest(before, arrived.ahead) });
        }
    }

    /// Looks what other engines did: how much waits where, who leads, and, if any of them changed it, what each keeps in
    /// memory. Of a store in a file there is nothing to look for.
    ///
    /// A look that is not `whole` asks only how much waits and whether anything changed: it is for when another engine
    /// rang.
    pub async fn news(&mut self, now: Timestamp, whole: bool) -> Result<Option<News>, StoreError> {
        if !self.is_shared() {
            return Ok(None);
        }
        self.resolve_doubt().await?;
        let found = self.look_for_news(now, whole).await;
        // Whoever has nothing to do commits nothing: it is here that its connection is found to be broken.
        self.in_doubt = found.is_err();
        found
    }

    async fn look_for_news(&mut self, now: Timestamp, whole: bool) -> Result<Option<News>, StoreError> {
        if whole {
            self.read_again().await?;
        } else {
            self.take_over_arrivals();
            self.tally = Tally::load(&mut self.connection).await?;
        }
        let Home::Server(server) = &mut self.home else { return Ok(None) };
        if whole {
            server.membership.rejoin(&mut self.connection).await?;
            server.days.ensure(&mut self.connection, now).await?;
            server.membership.look_who_leads(&mut self.connection).await?;
        }
        let look = sql!(postgres "change_look").query();
        let version = look.fetch_scalar(&mut self.connection).await.map_err(StoreError::during("look for changes"))?;
        if version == self.version {
            return Ok(None);
        }
        let news = News {
            channels: self.channel_states().await?,
            halts: self.halts().await?,
            tokens: self.tokens().await?,
            keys: self.keys().await?,
            webhooks: self.webhooks().await?,
        };
        self.version = version;
        Ok(Some(news))
    }

    /// Asks for the right to fetch the next token of an app, for so long; it ends with the token.
    pub async fn may_fetch(&mut self, app: &AppName, within: Duration) -> Result<FetchRight, StoreError> {
        self.resolve_doubt().await?;
        let Home::Server(server) = &self.home else { return Ok(FetchRight::Granted(None)) };
        let row = sql!(postgres "token_fetch")
            .query()
            .bind(app.as_str())
            .bind(server.membership.node())
            .bind(i64::try_from(within.as_millis()).unwrap_or(i64::MAX))
            .fetch_optional(&mut self.connection)
            .await
            .map_err(StoreError::during("ask for the right to fetch a token"));
        self.in_doubt = row.is_err();
        Ok(match row? {
            None => FetchRight::Taken,
            Some(row) => FetchRight::Granted(row::fetched_token(app, &row)),
        })
    }

    /// Whether this engine may send. Cheap to clone.
    pub fn lease(&self) -> Lease {
        match &self.home {
            Home::File(_) => Lease::default(),
            Home::Server(server) => server.membership.lease(),
        }
    }

    /// Notified when another engine changed something; never of a store in a file.
    pub fn rung(&self) -> Arc<Notify> {
        match &self.home {
            Home::File(_) => Arc::default(),
            Home::Server(server) => server.bell.rung(),
        }
    }

    /// What tells this store from every other: part of the ids that providers see.
    pub fn instance(&self) -> &str {
        &self.instance
    }

    /// Numbers the names that config defines, and notes which app each channel sends with. A name keeps its number for ever.
    pub async fn define(
        &mut self,
        channels: impl IntoIterator<Item = (ChannelName, AppName)>,
        templates: impl IntoIterator<Item = TemplateName>,
    ) -> Result<Ids, StoreError> {
        self.resolve_doubt().await?;
        // What was left in a channel that is known from now on is looked for at once.
        self.orphans_at = None;
        let mut ids = Ids::default();
        for (name, app) in channels {
            let id = number(&mut self.connection, Table::Channel, name.as_str()).await;
            let id = self.heard(id)?;
            self.apps.insert(ChannelId(id), app);
            ids.channels.insert(name, ChannelId(id));
        }
        self.beside.say_whose_apps(&self.apps);
        for name in templates {
            let id = number(&mut self.connection, Table::Template, name.as_str()).await;
            ids.templates.insert(name, TemplateId(self.heard(id)?));
        }
        Ok(ids)
    }

    /// Sets space aside for the outcomes of what is on its way when the disk is full.
    ///
    /// # Errors
    ///
    /// [`StoreError::Full`] if there is no room for it now.
    pub fn lay_ballast(&self) -> Result<(), StoreError> {
        match &self.home {
            Home::File(file) => file.ballast.lay(),
            // The server's disk is the server's.
            Home::Server(_) => Ok(()),
        }
    }

    /// What is told while there is no room.
    pub fn full(&self) -> StoreError {
        match &self.home {
            Home::File(file) => file.ballast.full(),
            Home::Server(server) => server.full(),
        }
    }

    /// Gives that space up.
    pub fn release_ballast(&self) {
        match &self.home {
            Home::File(file) => file.ballast.release(),
            Home::Server(_) => {}
        }
    }

    /// What a crash left in the middle of an attempt. Empty after a clean stop. Where several engines share the store, what
    /// those left that are gone: it is this one's from now on, and to be settled by it; a bounded part of it at a time.
    pub async fn orphans(&mut self) -> Result<Vec<Orphan>, StoreError> {
        self.take_over(None).await
    }

    /// The same of these channels alone: what was left of others is for an engine that knows them. Of a store in a file,
    /// where there is no other, of all.
    pub async fn orphans_of(&mut self, channels: &[ChannelId]) -> Result<Vec<Orphan>, StoreError> {
        self.take_over(Some(channels)).await
    }

    async fn take_over(&mut self, channels: Option<&[ChannelId]>) -> Result<Vec<Orphan>, StoreError> {
        self.resolve_doubt().await?;
        if !self.may_find_orphans().await? {
            return Ok(Vec::new());
        }
        let node = match &self.home {
            Home::File(_) => 0,
            Home::Server(server) => server.membership.node(),
        };
        self.claim += 1;
        // Below zero: what was taken over is no claim to undo.
        let taking = -self.claim;
        self.unheard.retain(|(_, since)| since.elapsed() < DOUBT_LASTS);
        let unheard: Vec<i64> = self.unheard.iter().map(|(taking, _)| *taking).collect();
        let found = row::orphans(&mut self.connection, node, TAKEN_OVER_MAX, taking, &unheard, channels).await;
        match &found {
            Ok(taken) if taken.len() >= TAKEN_OVER_MAX as usize => self.orphans_at = None,
            Ok(_) => {}
            Err(_) => {
                note(&mut self.unheard, taking);
                self.in_doubt = true;
            }
        }
        found
    }

    /// Whether it is worth a look through all that is being sent, and through what of it is gone and not vacuumed: an engine's
    /// lease ended lately, the last look did not come to an end, or it was not looked for long.
    async fn may_find_orphans(&mut self) -> Result<bool, StoreError> {
        let Home::Server(server) = &self.home else { return Ok(true) };
        if self.unheard.is_empty() && self.orphans_at.is_some_and(|at| at.elapsed() < ORPHANS_AGAIN) {
            let look = sql!(postgres "nodes_lapsed").query().bind(server.membership.node());
            let look = look.bind(i64::try_from(ORPHANS_AGAIN.as_millis()).unwrap_or(i64::MAX));
            let lapsed = look.fetch_scalar(&mut self.connection).await;
            return self.heard(lapsed.map_err(StoreError::during("look for engines that are gone")));
        }
        self.orphans_at = Some(Instant::now());
        Ok(true)
    }

    /// The state of every channel that has one.
    pub async fn channel_states(&mut self) -> Result<HashMap<ChannelId, ChannelState>, StoreError> {
        self.resolve_doubt().await?;
        let found = row::channel_states(&mut self.connection).await;
        self.heard(found)
    }

    /// The token of every app that has one.
    pub async fn tokens(&mut self) -> Result<HashMap<AppName, TokenRow>, StoreError> {
        self.resolve_doubt().await?;
        let found = row::tokens(&mut self.connection).await;
        self.heard(found)
    }

    /// The halted apps.
    pub async fn halts(&mut self) -> Result<HashMap<AppName, AppHalt>, StoreError> {
        self.resolve_doubt().await?;
        let found = row::halts(&mut self.connection).await;
        self.heard(found)
    }

    /// The keys of callers, the revoked ones too.
    pub async fn keys(&mut self) -> Result<Vec<KeyRow>, StoreError> {
        self.resolve_doubt().await?;
        let found = keys::read(&mut self.connection).await;
        self.heard(found)
    }

    /// How every webhook stands that has stood somehow.
    pub async fn webhooks(&mut self) -> Result<HashMap<WebhookName, WebhookStanding>, StoreError> {
        self.resolve_doubt().await?;
        let found = notice::standings(&mut self.connection).await;
        self.heard(found)
    }

    /// How many notices of each webhook wait.
    pub fn pending(&self) -> &HashMap<WebhookName, u64> {
        &self.pending
    }

    /// Forgets what waits for webhooks that config no longer has, and says how many that was.
    pub async fn forget_notices(&mut self, webhook: &WebhookName) -> Result<u64, StoreError> {
        let during = || StoreError::during("forget the notices of a webhook");
        self.resolve_doubt().await?;
        for sql in ["DELETE FROM notice WHERE webhook = $1", "DELETE FROM webhook WHERE name = $1"] {
            let gone = both(sql).bind(webhook.as_str()).execute(&mut self.connection).await.map_err(during());
            self.heard(gone)?;
        }
        Ok(self.pending.remove(webhook).unwrap_or_default())
    }

    /// How many messages of a channel are in a state.
    pub fn count(&self, channel: ChannelId, state: State) -> i64 {
        self.tally.count(channel, state)
    }

    /// Writes what is in the log into the file and lets go of it. Nothing is lost without this call; the next start
    /// is a little quicker with it.
    pub async fn close(mut self) -> Result<(), StoreError> {
        if let Home::Server(server) = &self.home {
            server.membership.leave(&mut self.connection).await?;
        }
        self.connection.close().await.map_err(StoreError::during("close store"))
    }
}

/// Adds the number of something of which nobody can say whether it landed.
fn note(doubtful: &mut VecDeque<(i64, Instant)>, number: i64) {
    if doubtful.len() == DOUBTFUL_MAX {
        doubtful.pop_front();
    }
    doubtful.push_back((number, Instant::now()));
}

/// The highest id that was ever given out. PostgreSQL gives them out itself, for several engines at once.
async fn sequence(connection: &mut Connection, table: &'static str) -> Result<i64, StoreError> {
    if connection.dialect() == Dialect::Postgres {
        return Ok(0);
    }
    let last = both("SELECT seq FROM sqlite_sequence WHERE name = $1")
        .bind(table)
        .fetch_optional_scalar(connection)
        .await
        .map_err(StoreError::during("read the last id"))?;
    Ok(last.unwrap_or(0))
}

const MAKE_INSTANCE: Statement = Statement::new(
    "INSERT INTO meta (key, value) VALUES ('instance', lower(hex(randomblob(6)))) ON CONFLICT (key) DO NOTHING",
    "INSERT INTO meta (key, value) VALUES ('instance', right(gen_random_uuid()::text, 12)) ON CONFLICT (key) DO NOTHING",
);

async fn instance(connection: &mut Connection) -> Result<String, StoreError> {
    let during = || StoreError::during("read the store's name");
    MAKE_INSTANCE.query().execute(connection).await.map_err(during())?;
    both("SELECT value FROM meta WHERE key = 'instance'").fetch_scalar(connection).await.map_err(during())
}

enum Table {
    Channel,
    Template,
}

async fn number(connection: &mut Connection, table: Table, name: &str) -> Result<i64, StoreError> {
    let (insert, select) = match table {
        Table::Channel => (
            "INSERT INTO channel (name) VALUES ($1) ON CONFLICT (name) DO NOTHING",
            "SELECT id FROM channel WHERE name = $1",
        ),
        Table::Template => (
            "INSERT INTO template (name) VALUES ($1) ON CONFLICT (name) DO NOTHING",
            "SELECT id FROM template WHERE name = $1",
        ),
    };
    let during = || StoreError::during("number a name");
    both(insert).bind(name).execute(connection).await.map_err(during())?;
    both(select).bind(name).fetch_scalar(connection).await.map_err(during())
}
