//! The least that is durable on PostgreSQL: three small tables, one connection that settles and claims in one statement,
//! and the bare loop behind it. It knows no credentials, no channels, no nodes and no counts: the bound for a store of
//! that kind, not a model of one.

use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, stream};
use sqlx::postgres::PgConnection;
use sqlx::{Connection as _, Row as _};
use tokio::sync::mpsc;

use crate::bare;
use crate::failure::{Failure, check};
use crate::server::{Provider, client};
use crate::workload::Kind;

const TABLES: &str = "
    CREATE TABLE ready (id bigint PRIMARY KEY, lane int NOT NULL, due_at bigint NOT NULL, generation int NOT NULL,
                        body text NOT NULL) WITH (fillfactor = 90);
    CREATE INDEX ON ready (lane, due_at, id);
    CREATE TABLE flight (id bigint PRIMARY KEY, generation int NOT NULL, body text NOT NULL);
    CREATE TABLE done (id bigint NOT NULL, generation int NOT NULL, body text NOT NULL);";

const ACCEPT: &str = "INSERT INTO ready (id, lane, due_at, generation, body)
    SELECT id, 1, 0, 0, body FROM unnest($1::bigint[], $2::text[]) AS given (id, body)";

const TICK: &str = "WITH
    ended AS (
        DELETE FROM flight USING unnest($1::bigint[], $2::int[]) AS told (id, generation)
        WHERE flight.id = told.id AND flight.generation = told.generation
        RETURNING flight.id, flight.generation, flight.body),
    kept AS (INSERT INTO done (id, generation, body) SELECT id, generation, body FROM ended),
    head AS MATERIALIZED (
        SELECT id FROM ready WHERE lane = 1 AND due_at <= 0 ORDER BY due_at, id LIMIT $3 FOR UPDATE SKIP LOCKED),
    taken AS (DELETE FROM ready USING head WHERE ready.id = head.id RETURNING ready.id, ready.generation, ready.body)
    INSERT INTO flight (id, generation, body) SELECT id, generation + 1, body FROM taken RETURNING id, generation, body";

/// Messages in one statement, at most.
const STEP: u32 = 500;
/// Messages that are claimed, for each that can be on its way: larger ticks, at the price of as many in doubt after a
/// crash.
const AHEAD: usize = 4;

/// How long it took to take all in, and to send all of them.
pub(crate) struct Least {
    pub(crate) accepted: Duration,
    pub(crate) sent: Duration,
}

struct Claimed {
    id: i64,
    generation: i32,
    body: String,
}

pub(crate) async fn run(
    database: &str,
    provider: &Provider,
    kind: Kind,
    messages: u32,
    in_flight: usize,
) -> Result<Least, Failure> {
    let mut connection = PgConnection::connect(database).await?;
    sqlx::raw_sql(TABLES).execute(&mut connection).await?;
    let begun = Instant::now();
    let mut first = 1;
    while first <= messages {
        let last = messages.min(first + STEP - 1);
        accept(&mut connection, kind, first..=last).await?;
        first = last + 1;
    }
    let accepted = begun.elapsed();
    let begun = Instant::now();
    send(&mut connection, provider, kind, messages, in_flight).await?;
    let sent = begun.elapsed();
    let kept: i64 = sqlx::query_scalar("SELECT count(*) FROM done").fetch_one(&mut connection).await?;
    check(kept == i64::from(messages), || format!("the least settled {kept} of {messages}"))?;
    connection.close().await?;
    Ok(Least { accepted, sent })
}

async fn accept(
    connection: &mut PgConnection,
    kind: Kind,
    numbers: std::ops::RangeInclusive<u32>,
) -> Result<(), Failure> {
    let ids: Vec<i64> = numbers.clone().map(i64::from).collect();
    let bodies: Vec<String> = numbers.map(|number| kind.body(number).to_string()).collect();
    sqlx::query(ACCEPT).bind(ids).bind(bodies).execute(connection).await?;
    Ok(())
}

async fn send(
    connection: &mut PgConnection,
    provider: &Provider,
    kind: Kind,
    messages: u32,
    in_flight: usize,
) -> Result<(), Failure> {
    let ahead = in_flight * AHEAD;
    let (hand_out, work) = mpsc::channel::<Claimed>(ahead);
    let (settle, mut settled) = mpsc::channel::<(i64, i32)>(ahead);
    let (client, url) = (client(None)?, bare::url(provider, kind));
    let mut sending = tokio::spawn(async move {
        let work = stream::unfold(work, |mut work| async { work.recv().await.map(|claimed| (claimed, work)) });
        let attempts = work.map(|claimed| {
            let (client, url, settle) = (client.clone(), &url, settle.clone());
            async move {
                bare::post(client, url, claimed.body.into_bytes()).await?;
                settle.send((claimed.id, claimed.generation)).await?;
                Ok::<(), Failure>(())
            }
        });
        let mut attempts = std::pin::pin!(attempts.buffer_unordered(in_flight));
        while let Some(ended) = attempts.next().await {
            ended?;
        }
        Ok::<(), Failure>(())
    });
    let (mut done, mut claimed, messages) = (0, 0, messages as usize);
    let mut ended: Vec<(i64, i32)> = Vec::with_capacity(ahead);
    while done < messages {
        ended.clear();
        let room = ahead - (claimed - done);
        // With room for a good batch what ended is taken as it is; without, or with none left to claim, more is worth a wait.
        let worth_a_wait = room < ahead / 2 || claimed == messages;
        if worth_a_wait && settled.recv_many(&mut ended, ahead).await == 0 {
            (&mut sending).await??;
            return Err(Failure::new("the least stopped sending before its time"));
        }
        while let Ok(one) = settled.try_recv() {
            ended.push(one);
        }
        let room = (room + ended.len()).min(STEP as usize);
        let (ids, generations): (Vec<i64>, Vec<i32>) = ended.iter().copied().unzip();
        let rows = sqlx::query(TICK).bind(ids).bind(generations).bind(room as i64).fetch_all(&mut *connection).await?;
        done += ended.len();
        claimed += rows.len();
        for row in rows {
            hand_out.send(Claimed { id: row.get(0), generation: row.get(1), body: row.get(2) }).await?;
        }
    }
    drop(hand_out);
    sending.await?
}
