//! A connection to a server that a pool lends, and how it is given back: within a bound, whenever the server falls
//! silent.
//!
//! sqlx gives a connection back when it is dropped, in a task that rolls back what was begun and asks the connection
//! once more, and waits for both as long as the kernel does: a quarter of an hour in which its place is nobody's. But
//! the future that does so, which is to be had by itself, owns the connection and its place from the beginning on.
//! Dropped at whatever point, it closes the one and frees the other at once, and so it may be given a bound.

use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnection, PgDatabaseError, PgSeverity};
use sqlx::{Error, Postgres};
use tokio::runtime::Handle;

/// How long a connection of a pool may take to show that it is there, before it is lent and when it comes back.
pub(crate) const IDLE_WAIT: Duration = Duration::from_secs(2);

const EXPECT: &str = "a connection is lent until it is dropped";

/// The connection. Dropped, it is given back.
#[derive(Debug)]
pub(crate) struct Lent {
    place: Option<Place>,
    /// A transaction may have been begun that did not end.
    begun: bool,
    /// It is of no use any more.
    broken: bool,
}

impl Lent {
    pub(super) fn new(connection: PoolConnection<Postgres>) -> Lent {
        Lent { place: Some(Place(connection)), begun: false, broken: false }
    }

    pub(super) fn inner(&mut self) -> &mut PgConnection {
        &mut self.place.as_mut().expect(EXPECT).0
    }

    /// It is about to be asked what may begin a transaction, which ends with it at the latest.
    pub(super) fn begins(&mut self) {
        self.begun = true;
    }

    /// It ended what it began.
    pub(super) fn has_ended(&mut self) {
        self.begun = false;
    }

    /// What it was asked came to that, or to nothing. One that is broken is not asked again, not even whether it is
    /// there.
    pub(super) fn heard<T>(&mut self, answer: Option<&Result<T, Error>>) {
        self.broken = match answer {
            Some(Ok(_)) => false,
            Some(Err(error)) => is_of_connection(error),
            None => true,
        };
    }
}

impl Drop for Lent {
    /// Where there is no runtime any more, or none that would get to it, it is closed.
    fn drop(&mut self) {
        let place = self.place.take().filter(|_| !self.broken);
        if let (Some(place), Ok(runtime)) = (place, Handle::try_current()) {
            runtime.spawn(place.give_back(self.begun));
        }
    }
}

/// A connection in its pool's place. Dropped, the one is closed and the other is free, both at once: sqlx would spawn a
/// task without a bound for it, and panic where there is no runtime.
#[derive(Debug)]
struct Place(PoolConnection<Postgres>);

impl Place {
    /// What is still to be answered is waited for, too: whoever broke a statement off may ask the next no sooner.
    async fn give_back(mut self, begun: bool) {
        let giving_back = async {
            // A transaction of sqlx would not do: one that is broken off while it begins is not rolled back.
            if begun && sqlx::raw_sql("ROLLBACK").execute(&mut *self.0).await.is_err() {
                return;
            }
            // It asks whether the connection is there; nobody needs to before.
            self.0.return_to_pool().await;
        };
        // Whatever came of it, the place is free now.
        drop(tokio::time::timeout(IDLE_WAIT, giving_back).await);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        drop(self.0.return_to_pool());
    }
}

/// Whether an error is the end of its connection, and not only of a statement.
fn is_of_connection(error: &Error) -> bool {
    match error {
        Error::Io(_) | Error::Tls(_) | Error::Protocol(_) => true,
        Error::Database(error) => {
            let error = error.try_downcast_ref::<PgDatabaseError>();
            error.is_some_and(|error| matches!(error.severity(), PgSeverity::Fatal | PgSeverity::Panic))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Waker};
    use std::time::Instant;

    use sqlx::Row as _;
    use sqlx::postgres::{PgPool, PgPoolOptions};
    use tidings_cluster::{Database, fresh_database};

    use super::*;
    use crate::sql::{Pool, Way, both};

    async fn pool_of_one(database: &Database) -> PgPool {
        PgPoolOptions::new().max_connections(1).connect(database.url()).await.unwrap()
    }

    async fn until_free(pool: &PgPool) {
        let begun = Instant::now();
        while pool.num_idle() < usize::try_from(pool.size()).unwrap() {
            assert!(begun.elapsed() < 5 * IDLE_WAIT, "it comes back");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// In a transaction it is the time at which that began. In one message: it is the same for all that one brings.
    async fn is_in_transaction(pool: &PgPool) -> bool {
        sqlx::raw_sql("SELECT now() <> statement_timestamp()").fetch_one(pool).await.unwrap().get(0)
    }

    /// Breaks it off after its first step, after its second, and so on until it comes to its end.
    async fn break_off_everywhere(pool: &PgPool, read: impl AsyncFn()) {
        for steps in 1.. {
            until_free(pool).await;
            let is_over = {
                let mut reading = pin!(read());
                let mut is_over = false;
                for _ in 0..steps {
                    is_over = reading.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready();
                    if is_over {
                        break;
                    }
                    // What was asked is answered by then.
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                is_over
            };
            until_free(pool).await;
            assert!(!is_in_transaction(pool).await, "broken off at step {steps}");
            if is_over {
                return;
            }
        }
    }

    /// Whoever read next saw what there was when the look began, for as long as somebody read.
    #[tokio::test]
    async fn what_is_broken_off_wherever_it_is_leaves_no_transaction_behind() {
        let database = fresh_database();
        for way in [Way::Direct, Way::Pooled] {
            let pool = pool_of_one(&database).await;
            let readers = Pool::Postgres(pool.clone(), way);
            let statement = async || {
                let mut connection = readers.acquire().await.unwrap();
                both("SELECT 1").fetch_all(&mut connection).await.unwrap();
            };
            break_off_everywhere(&pool, statement).await;
            break_off_everywhere(&pool, async || drop(readers.look().await.unwrap())).await;
        }
    }

    #[test]
    fn a_look_that_ends_outside_of_every_runtime_frees_its_place() {
        let database = fresh_database();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let pool = runtime.block_on(pool_of_one(&database));
        let readers = Pool::Postgres(pool.clone(), Way::Direct);
        let look = runtime.block_on(readers.look()).unwrap();
        drop(look);
        assert_eq!(pool.size(), 0);
        let look = runtime.block_on(readers.look()).unwrap();
        drop(runtime);
        drop(look);
        assert_eq!(pool.size(), 0);
    }
}
