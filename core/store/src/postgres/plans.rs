//! When statements are planned anew: what was planned on a short queue may walk all of a long one. The writer's are while there
//! is much, each reader's with the age of its connection.

use std::time::{Duration, Instant};

use crate::error::StoreError;
use crate::sql::{Connection, PLAN_ANEW};

/// How old a plan may be where there is much to read. A dozen statements are planned in some milliseconds.
const PLAN_LIFE: Duration = Duration::from_secs(1);

/// Rows of which it does not matter how they are read.
const FEW_ROWS: i64 = 256;

/// How old the plans are.
#[derive(Debug)]
pub(crate) struct Plans {
    since: Instant,
}

impl Plans {
    /// Those of a connection that has made none.
    pub(crate) fn none() -> Plans {
        Plans { since: Instant::now() }
    }

    /// Has them made anew if they are old and so many rows may be read.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`]
    pub(crate) async fn renew(&mut self, connection: &mut Connection, rows: i64) -> Result<(), StoreError> {
        if !are_due(self.since.elapsed(), rows) {
            return Ok(());
        }
        self.since = Instant::now();
        connection.run_script(PLAN_ANEW).await.map_err(StoreError::during("have statements planned anew"))
    }
}

fn are_due(age: Duration, rows: i64) -> bool {
    age >= PLAN_LIFE && rows > FEW_ROWS
}

/// Whether the life of plans ended, of a connection that is so old, since it was used last.
pub(super) fn has_grown_old(age: Duration, idle_for: Duration) -> bool {
    let lives = |age: Duration| age.as_nanos() / PLAN_LIFE.as_nanos();
    lives(age) != lives(age.saturating_sub(idle_for))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plans_are_made_anew_once_a_second_where_there_is_much_and_never_where_there_is_little() {
        let just_now = Duration::from_millis(999);
        assert!(!are_due(just_now, i64::MAX));
        assert!(!are_due(Duration::MAX, FEW_ROWS));
        assert!(are_due(PLAN_LIFE, FEW_ROWS + 1));
    }

    #[test]
    fn plans_end_with_each_of_their_lives_however_often_a_connection_is_used() {
        let ms = Duration::from_millis;
        // Used every 300 ms, and when the life of its plans ended meanwhile.
        let ends: Vec<u64> = (1..8).map(|turn| turn * 300).filter(|age| has_grown_old(ms(*age), ms(300))).collect();
        assert_eq!(ends, [1200, 2100]);
        assert!(has_grown_old(ms(5_900), ms(1_000)) && !has_grown_old(ms(5_900), ms(899)));
    }
}
