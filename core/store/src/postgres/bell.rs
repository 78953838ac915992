//! How nodes wake each other: `NOTIFY`, in a transaction of its own behind the one that has something to tell, and at most
//! so often. A notification inside the writer's transaction would take a lock of the whole server at each commit. Nobody
//! depends on it: whoever cannot listen (behind a pooler) looks now and then.

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::PgListener;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::server::Server;
use crate::error::StoreError;
use crate::sql::{Pool, both};

/// The channel.
const CHANNEL: &str = "tidings";

/// Rings are this far apart at least: what happens between them is one ring.
const APART: Duration = Duration::from_millis(10);

/// Between two tries to listen.
const LISTEN_AGAIN: Duration = Duration::from_secs(5);

/// How long a bell may be silent before whoever listens asks whether it still hangs: a server that vanished rings no more,
/// and closes nothing.
const SILENT: Duration = Duration::from_secs(15);

/// How long the answer may take.
const ASK_WAIT: Duration = Duration::from_secs(5);

/// This node's bell.
#[derive(Debug)]
pub(crate) struct Bell {
    /// There is something to tell the others.
    ring: Arc<Notify>,
    /// Another node rang.
    rung: Arc<Notify>,
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for Bell {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Bell {
    /// Tells through the pool, and listens at the server, if there is a way to listen. Through a pooler there is none:
    /// the session that listens would be lent to others, who would get what it hears in the midst of their answers. `own`
    /// tells this node's rings from those of others: a number that no other node has or had.
    pub(crate) fn hang(pool: Pool, listens: Option<Server>, own: i64) -> Bell {
        let (ring, rung) = (Arc::<Notify>::default(), Arc::<Notify>::default());
        let own: Arc<str> = own.to_string().into();
        let mut tasks = vec![tokio::spawn(tell(Arc::clone(&ring), pool, Arc::clone(&own)))];
        tasks.extend(listens.map(|server| tokio::spawn(listen(Arc::clone(&rung), server, own))));
        Bell { ring, rung, tasks }
    }

    /// Wakes the other nodes, soon.
    pub(crate) fn ring(&self) {
        self.ring.notify_one();
    }

    /// What wakes the other nodes when it is notified.
    pub(crate) fn ringer(&self) -> Arc<Notify> {
        Arc::clone(&self.ring)
    }

    /// Ends when another node rang.
    pub(crate) fn rung(&self) -> Arc<Notify> {
        Arc::clone(&self.rung)
    }
}

async fn tell(ring: Arc<Notify>, pool: Pool, own: Arc<str>) {
    loop {
        ring.notified().await;
        if let Err(error) = tell_once(&pool, &own).await {
            tracing::debug!("wake the other nodes: {error}");
        }
        tokio::time::sleep(APART).await;
    }
}

async fn tell_once(pool: &Pool, own: &str) -> Result<(), sqlx::Error> {
    let ring = both("SELECT pg_notify($1, $2)").bind(CHANNEL).bind(own);
    ring.execute(&mut pool.acquire().await?).await.map(drop)
}

async fn listen(rung: Arc<Notify>, server: Server, own: Arc<str>) {
    loop {
        if let Err(error) = listen_once(&rung, &server, &own).await {
            tracing::debug!("listen to the other nodes: {error}");
        }
        tokio::time::sleep(LISTEN_AGAIN).await;
    }
}

async fn listen_once(rung: &Notify, server: &Server, own: &str) -> Result<(), StoreError> {
    let during = || StoreError::during("listen");
    let pool = server.pool(1).await?;
    let mut listener = PgListener::connect_with(&pool).await.map_err(during())?;
    listener.listen(CHANNEL).await.map_err(during())?;
    loop {
        match tokio::time::timeout(SILENT, listener.recv()).await {
            // What this node rang for it knows.
            Ok(ring) if ring.as_ref().is_ok_and(|ring| ring.payload() == own) => {}
            Ok(ring) => {
                ring.map_err(during())?;
                rung.notify_one();
            }
            Err(_) => {
                let ask = sqlx::raw_sql("SELECT").execute(&mut listener);
                let answered = tokio::time::timeout(ASK_WAIT, ask).await;
                answered.unwrap_or(Err(sqlx::Error::PoolTimedOut)).map_err(during())?;
            }
        }
    }
}
