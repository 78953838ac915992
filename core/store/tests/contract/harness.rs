//! A store in a fresh folder, the shorthand tests are written in, and the checks that follow every commit.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tidings_cluster::{Cluster, Database, Proxy};
use tidings_model::limits::PAGE_ROWS_MAX;
use tidings_model::{
    AppName, ChannelName, CredentialFate, Event, IdempotencyKey, MessageId, Recipient, Settlement, SourceName, State,
    TemplateName, Timestamp,
};
use tidings_store::{
    Accepted, Batch, ChannelId, ClaimRequest, Claimed, Committed, CredentialFilter, CredentialRow, MessageFilter,
    MessageRow, Needs, NewCredential, NewMessage, Operation, Reader, Settle, SourceRule, StoreError, TemplateId,
    Writer,
};

/// Noon of a day long enough after the epoch for every life and margin to fit before it.
pub(crate) const NOON: Timestamp = Timestamp(1_700_000_000_000);
pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const HOUR: Duration = Duration::from_secs(3600);
pub(crate) const DAY: Duration = Duration::from_secs(86_400);

/// How long a lock may take to be let go of whose holder is gone, and between two looks.
const LET_GO_WITHIN: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(5);

/// Stands in every credential value and token of the tests, and may be printed nowhere.
pub(crate) const CANARY: &str = "canary-7f3a";

/// Needs no credentials.
pub(crate) const FREE: &str = "free";
/// Needs credentials of the app `shop`.
pub(crate) const BOUND: &str = "bound";
/// Needs credentials of the same app.
pub(crate) const SISTER: &str = "sister";

pub(crate) const FORM_ID: &str = "wechat.form_id";
pub(crate) const PREPAY: &str = "wechat.prepay_id";
pub(crate) const GRANT: &str = "wechat.grant";

/// Where a store lives. Another kind of store is another way to make one of these.
#[derive(Debug, Clone)]
pub(crate) struct Home {
    place: Arc<Place>,
}

#[derive(Debug)]
enum Place {
    Folder(PathBuf),
    Database(Database),
    /// On a server of its own, and how it is reached.
    Server(String, Arc<Cluster>),
}

impl Home {
    pub(crate) fn sqlite() -> Home {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("tidings-store-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).expect("the temporary folder takes a folder");
        Home { place: Arc::new(Place::Folder(folder)) }
    }

    pub(crate) fn postgres() -> Home {
        Home { place: Arc::new(Place::Database(tidings_cluster::fresh_database())) }
    }

    /// On a server that nobody else uses, so that it may be set otherwise.
    pub(crate) fn postgres_alone() -> Home {
        let server = Cluster::private(&std::env::temp_dir(), &[]).expect("a server starts");
        let url = server.create_database("tidings").expect("it takes a database");
        Home { place: Arc::new(Place::Server(url, Arc::new(server))) }
    }

    /// The same, by a way that may fall silent or be cut.
    pub(crate) fn postgres_far_away() -> (Home, Proxy) {
        let server = Cluster::private(&std::env::temp_dir(), &[]).expect("a server starts");
        server.create_database("tidings").expect("it takes a database");
        let proxy = Proxy::before(&server).expect("there is a port");
        (Home { place: Arc::new(Place::Server(proxy.url("tidings"), Arc::new(server))) }, proxy)
    }

    /// The same database, straight on its own server.
    pub(crate) fn near(&self) -> Home {
        match &*self.place {
            Place::Server(_, server) => {
                Home { place: Arc::new(Place::Server(server.url("tidings"), Arc::clone(server))) }
            }
            Place::Folder(_) | Place::Database(_) => panic!("it has no server of its own"),
        }
    }

    pub(crate) fn file(&self) -> PathBuf {
        match &*self.place {
            Place::Folder(folder) => folder.join("tidings.db"),
            Place::Database(_) | Place::Server(..) => panic!("a database has no file"),
        }
    }

    /// Whether several engines may open it at once.
    pub(crate) fn is_shared(&self) -> bool {
        !matches!(*self.place, Place::Folder(_))
    }

    /// A text as it reads back: PostgreSQL's have no U+0000.
    pub(crate) fn reads_back(&self, text: &str) -> String {
        if self.is_shared() { text.replace('\0', "\u{fffd}") } else { text.to_owned() }
    }

    pub(crate) fn url(&self) -> String {
        match &*self.place {
            Place::Folder(_) => format!("sqlite://{}", self.file().display()),
            Place::Database(database) => database.url().to_owned(),
            Place::Server(url, _) => url.clone(),
        }
    }

    /// Has the leases of those that are gone end now: nobody waits for them.
    pub(crate) async fn end_leases(&self) {
        if self.is_shared() {
            let end = sqlx::query("UPDATE node SET lease_until = 0").execute(&mut self.connect().await).await;
            end.expect("a lease ends");
        }
    }

    /// A connection past every store, to a database, straight to its server.
    pub(crate) async fn connect(&self) -> sqlx::PgConnection {
        use sqlx::Connection as _;
        let url = match &*self.place {
            Place::Server(_, server) => server.url("tidings"),
            Place::Folder(_) | Place::Database(_) => self.url(),
        };
        sqlx::PgConnection::connect(&url).await.expect("the database answers")
    }

    /// What its own server wrote down.
    pub(crate) fn server_log(&self) -> String {
        match &*self.place {
            Place::Server(_, server) => std::fs::read_to_string(server.folder().join("log")).expect("a log is read"),
            Place::Folder(_) | Place::Database(_) => panic!("it has no server of its own"),
        }
    }

    pub(crate) async fn open(&self) -> Result<(Writer, Reader), StoreError> {
        tidings_store::open(&self.url()).await
    }

    /// The same of a store that nobody has open. A program that another test of this process starts has what is open here
    /// until it begins, and the lock with it: that is waited for.
    pub(crate) async fn open_when_let_go(&self) -> Result<(Writer, Reader), StoreError> {
        let begun = Instant::now();
        loop {
            match self.open().await {
                Err(StoreError::Locked { .. }) if begun.elapsed() < LET_GO_WITHIN => tokio::time::sleep(LOOK).await,
                opened => return opened,
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Place::Folder(folder) = self {
            // A folder that stays in the temporary folder fails no test.
            drop(std::fs::remove_dir_all(folder));
        }
    }
}

/// An open store, the present instant, and what config would define.
#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) now: Timestamp,
    pub(crate) writer: Writer,
    pub(crate) reader: Reader,
    pub(crate) paid: TemplateId,
    pub(crate) shipped: TemplateId,
    channels: BTreeMap<&'static str, ChannelId>,
    /// Nobody else writes: what the writer remembers is what there is.
    pub(crate) is_alone: bool,
    pub(crate) home: Home,
}

impl Store {
    pub(crate) async fn new(home: Home) -> Store {
        let (mut writer, reader) = home.open_when_let_go().await.expect("a fresh store opens");
        let names = [FREE, BOUND, SISTER].map(|name| (ChannelName::new(name).expect("a name"), shop()));
        let templates = ["paid", "shipped"].map(|name| TemplateName::new(name).expect("a name"));
        let ids = writer.define(names, templates).await.expect("names are numbered");
        let channels = [FREE, BOUND, SISTER].map(|name| (name, ids.channels[name])).into();
        let (paid, shipped) = (ids.templates["paid"], ids.templates["shipped"]);
        Store { now: NOON, writer, reader, paid, shipped, channels, is_alone: true, home }
    }

    /// Another engine on the same database.
    pub(crate) async fn beside(&mut self) -> Store {
        self.is_alone = false;
        Store { now: self.now, is_alone: false, ..Store::new(self.home.clone()).await }
    }

    /// As a crash does it: nothing is settled, nothing closed in order.
    pub(crate) async fn crash(self) -> Store {
        let Store { now, writer, reader, home, is_alone, .. } = self;
        drop((writer, reader));
        home.end_leases().await;
        Store { now, is_alone, ..Store::new(home).await }
    }

    /// As a clean stop does it.
    pub(crate) async fn close(self) -> Home {
        drop(self.reader);
        self.writer.close().await.expect("the store closes");
        self.home
    }

    pub(crate) fn channel(&self, name: &str) -> ChannelId {
        self.channels[name]
    }

    pub(crate) fn pass(&mut self, wait: Duration) {
        self.now = self.now.after(wait);
    }

    /// Commits, and checks what must hold after every commit.
    pub(crate) async fn commit(&mut self, batch: Batch) -> Committed {
        let committed = self.writer.commit(&Batch { now: self.now, ..batch }).await.expect("the batch is committed");
        self.check().await;
        committed
    }

    /// The counts that are kept are the counts that are.
    pub(crate) async fn check(&self) {
        let mut real: BTreeMap<(String, State), i64> = BTreeMap::new();
        for row in self.messages(&MessageFilter::default()).await {
            *real.entry((row.channel, row.state)).or_default() += 1;
        }
        let kept = self.reader.counts().await.expect("counts are read").messages;
        let kept: BTreeMap<(String, State), i64> =
            kept.into_iter().filter(|row| row.2 != 0).map(|(name, state, count)| ((name, state), count)).collect();
        assert_eq!(kept, real, "the counts on disk are those of the rows");
        for (name, id) in self.channels.iter().filter(|_| self.is_alone) {
            for state in State::ALL {
                let count = real.get(&((*name).to_owned(), state)).copied().unwrap_or(0);
                assert_eq!(self.writer.count(*id, state), count, "the writer knows how many of {name} are {state}");
            }
        }
    }

    /// Every message of the filter, through all pages, newest first.
    pub(crate) async fn messages(&self, filter: &MessageFilter) -> Vec<MessageRow> {
        let mut filter = MessageFilter { limit: PAGE_ROWS_MAX, ..filter.clone() };
        let mut rows = Vec::new();
        loop {
            let page = self.reader.messages(&filter).await.expect("a page is read");
            rows.extend(page.rows);
            let Some(next) = page.next else { return rows };
            filter.before = Some(next);
        }
    }

    /// Every credential in the ledger, oldest first.
    pub(crate) async fn credentials(&self) -> Vec<CredentialRow> {
        let mut filter = CredentialFilter { limit: PAGE_ROWS_MAX, ..CredentialFilter::default() };
        let mut rows = Vec::new();
        loop {
            let page = self.reader.credentials(&filter).await.expect("a page is read");
            rows.extend(page.rows);
            let Some(next) = page.next else { break };
            filter.before = Some(next);
        }
        rows.reverse();
        rows
    }

    /// Uses left and holder of each credential, oldest first.
    pub(crate) async fn ledger(&self) -> Vec<(i64, Option<MessageId>)> {
        self.credentials().await.into_iter().map(|row| (row.uses_left, row.bound_to)).collect()
    }

    pub(crate) async fn message_row(&self, id: MessageId) -> MessageRow {
        self.reader.message(id).await.expect("a message is read").expect("the message is there").0
    }

    pub(crate) async fn state(&self, id: MessageId) -> State {
        self.message_row(id).await.state
    }

    pub(crate) fn message(&self, channel: &str, recipient: &str) -> NewMessage {
        NewMessage {
            channel: self.channel(channel),
            template: self.paid,
            recipient: Recipient::new(recipient).expect("a recipient"),
            data: "{}".to_owned(),
            key: None,
            body_hash: 0,
            send_at: None,
            expires_at: None,
            priority: 0,
            run: None,
            trace: None,
        }
    }

    /// Accepts the messages, none of which has been before.
    pub(crate) async fn accept(&mut self, messages: Vec<NewMessage>) -> Vec<MessageId> {
        let committed = self.commit(Batch { messages, ..Batch::default() }).await;
        committed.accepted.into_iter().map(new_id).collect()
    }

    pub(crate) async fn accept_one(&mut self, channel: &str, recipient: &str) -> MessageId {
        let message = self.message(channel, recipient);
        self.accept(vec![message]).await[0]
    }

    pub(crate) async fn post(&mut self, credentials: Vec<NewCredential>) -> Committed {
        self.commit(Batch { credentials, ..Batch::default() }).await
    }

    /// Room for so many in a channel, with what its messages need.
    pub(crate) fn room(&self, channel: &str, limit: u32) -> ClaimRequest {
        let needs = (channel != FREE).then(|| self.needs(&[FORM_ID, PREPAY, GRANT]));
        ClaimRequest { channel: self.channel(channel), limit, in_flight_max: Some(u32::MAX), rate: None, needs }
    }

    pub(crate) fn needs(&self, sources: &[&str]) -> Needs {
        let rule =
            |source: &&str| SourceRule { source: SourceName::new(*source).expect("a source"), margin: Duration::ZERO };
        Needs {
            app: shop(),
            sources: sources.iter().map(rule).collect(),
            scopes: vec![(self.paid, "scope-paid".to_owned()), (self.shipped, "scope-shipped".to_owned())],
        }
    }

    pub(crate) async fn claim(&mut self, channel: &str, limit: u32) -> Vec<Claimed> {
        let claims = vec![self.room(channel, limit)];
        self.commit(Batch { claims, ..Batch::default() }).await.claimed
    }

    pub(crate) async fn claim_one(&mut self, channel: &str) -> Claimed {
        let mut claimed = self.claim(channel, 1).await;
        assert_eq!(claimed.len(), 1, "one message of `{channel}` can be claimed");
        claimed.remove(0)
    }

    pub(crate) async fn settle(&mut self, settles: Vec<Settle>) -> Vec<bool> {
        self.commit(Batch { settles, ..Batch::default() }).await.settled
    }

    /// Accepts, claims and settles a message of the channel without credentials.
    pub(crate) async fn ended(&mut self, state: State) -> MessageId {
        let id = self.accept_one(FREE, "ann").await;
        let claimed = self.claim_one(FREE).await;
        assert_eq!(claimed.message, id);
        assert_eq!(self.settle(vec![outcome(&claimed, state, CredentialFate::Spend)]).await, [true]);
        id
    }
}

pub(crate) fn shop() -> AppName {
    AppName::new("shop").expect("a name")
}

pub(crate) fn key(text: &str) -> Option<IdempotencyKey> {
    Some(IdempotencyKey::new(text).expect("a key"))
}

pub(crate) fn new_id(accepted: Accepted) -> MessageId {
    match accepted {
        Accepted::New(id) => id,
        other => panic!("expected a new message, found {other:?}"),
    }
}

/// A single-use permit of `shop` for any scope, which ends in a day. Its identity is its value.
pub(crate) fn permit(recipient: &str, value: &str) -> NewCredential {
    NewCredential {
        app: shop(),
        source: SourceName::new(FORM_ID).expect("a source"),
        recipient: Recipient::new(recipient).expect("a recipient"),
        scope: None,
        value: format!("{CANARY}-{value}"),
        identity: Some(value.to_owned()),
        uses: 1,
        expires_at: Some(NOON.after(DAY)),
        made_at: None,
    }
}

/// A permit of three uses.
pub(crate) fn prepay(recipient: &str, value: &str) -> NewCredential {
    NewCredential { source: SourceName::new(PREPAY).expect("a source"), uses: 3, ..permit(recipient, value) }
}

/// One of those that the provider counts: without identity or end, for one scope.
pub(crate) fn grant(recipient: &str) -> NewCredential {
    NewCredential {
        source: SourceName::new(GRANT).expect("a source"),
        scope: Some("scope-paid".to_owned()),
        identity: None,
        expires_at: None,
        ..permit(recipient, "")
    }
}

/// A settlement, put together by hand: the contract is that the store writes what it is told.
pub(crate) fn settlement(to: State, credential: CredentialFate) -> Settlement {
    Settlement {
        to,
        due_at: (to == State::Scheduled).then_some(NOON),
        counts: true,
        ambiguous: credential == CredentialFate::Keep || to == State::Unknown,
        credential,
        lane: None,
        reason: (to != State::Sent).then_some("test"),
        detail: String::new(),
        provider_id: None,
    }
}

pub(crate) fn outcome(claimed: &Claimed, to: State, credential: CredentialFate) -> Settle {
    Settle {
        message: claimed.message,
        generation: claimed.generation,
        channel: claimed.channel,
        started_at: NOON,
        ended_at: NOON,
        outcome: if to == State::Sent { "accepted" } else { "retry" },
        settlement: settlement(to, credential),
        rescued: false,
    }
}

pub(crate) fn act(event: Event, message: MessageId) -> Operation {
    Operation { message, event, from: None, due_at: None, reason: None, note: "by hand".to_owned() }
}

pub(crate) fn ids(claimed: &[Claimed]) -> Vec<MessageId> {
    claimed.iter().map(|claimed| claimed.message).collect()
}

/// Message and the value of its credential without the canary.
pub(crate) fn pairs(claimed: &[Claimed]) -> Vec<(MessageId, String)> {
    let value = |claimed: &Claimed| {
        let bound = claimed.credential.as_ref().expect("a credential is bound");
        bound.value.trim_start_matches(CANARY).trim_start_matches('-').to_owned()
    };
    claimed.iter().map(|claimed| (claimed.message, value(claimed))).collect()
}
