//! A database is brought to the present schema by the same steps that made it once: what an earlier program left is made
//! by the first of them, and what it had in it is written here.

use std::path::Path;

use sqlx::{AssertSqlSafe, PgConnection};
use tidings_model::{AppName, SourceName, State};
use tidings_store::{CredentialIntake, MessageFilter, StoreError};

use super::harness::{BOUND, FORM_ID, FREE, Home, Store, pairs, permit};

/// The steps, oldest first.
fn steps() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations/postgres");
    let mut files: Vec<_> =
        std::fs::read_dir(folder).expect("the steps are there").map(|entry| entry.expect("a file").path()).collect();
    files.sort();
    files.iter().map(|file| std::fs::read_to_string(file).expect("a step is text")).collect()
}

async fn run(connection: &mut PgConnection, sql: String) {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await.expect("it is SQL");
}

/// A message of ann in every state, the last of which is sent, and two permits of hers: one free, one used.
const ROWS: &str = "
    INSERT INTO channel (name) VALUES ('free'), ('bound'), ('sister');
    INSERT INTO template (name) VALUES ('paid'), ('shipped');
    SELECT tidings_day(parent, 1699920000000) FROM unnest(ARRAY['message_done', 'message_failed']) AS parent;
    INSERT INTO message (id, channel_id, template_id, recipient, state, priority, due_at, created_at, finished_at,
                         generation, node_id, claim, data)
    SELECT 1 + state, 1, 1, 'ann', state, 0, 1700000000000, 1700000000000,
           CASE WHEN state > 4 THEN 1700000000000 END, CASE WHEN state = 3 THEN 1 ELSE 0 END, 0, 0, '{}'
    FROM generate_series(0, 10) AS state;
    INSERT INTO tally (node_id, channel_id, state, count) SELECT 0, 1, state, 1 FROM generate_series(0, 10) AS state;
    INSERT INTO credential (id, app, source, recipient, value, identity, uses_left, expires_at, created_at)
    VALUES (1, 'shop', 'wechat.form_id', 'ann', 'canary-7f3a-a', 'a', 1, 1700050000000, 1700000000000),
           (2, 'shop', 'wechat.form_id', 'ann', 'canary-7f3a-b', 'b', 0, 1700050000000, 1700000000000);
    SELECT setval('message_id', 11), setval('credential_id', 2);";

/// What schema 2 keeps of permits in a table of its own.
const IDENTITIES: &str = "
    INSERT INTO credential_identity (identity, source, app, credential_id)
    SELECT identity, source, app, id FROM credential;";

/// A database as a program of that schema left it.
async fn earlier(number: usize) -> Home {
    let home = Home::postgres();
    let mut connection = home.connect().await;
    for step in &steps()[..number] {
        run(&mut connection, step.clone()).await;
    }
    run(&mut connection, format!("INSERT INTO meta (key, value) VALUES ('schema', '{number}'); {ROWS}")).await;
    if number >= 2 {
        run(&mut connection, IDENTITIES.to_owned()).await;
    }
    home
}

async fn schema(home: &Home) -> String {
    let mut connection = home.connect().await;
    let value = sqlx::query_scalar("SELECT value FROM meta WHERE key = 'schema'").fetch_one(&mut connection);
    value.await.expect("a database knows its schema")
}

#[tokio::test]
async fn an_earlier_database_becomes_the_present_one_with_everything_in_it() {
    let present = steps().len();
    for number in 1..present {
        let mut store = Store::new(earlier(number).await).await;
        assert_eq!(schema(&store.home).await, present.to_string(), "from schema {number}");
        store.check().await;

        let of_ann = MessageFilter { recipient: Some("ann".to_owned()), ..MessageFilter::default() };
        let listed: Vec<i64> = store.messages(&of_ann).await.iter().map(|row| row.id.0).collect();
        assert_eq!(listed, (1..=11).rev().collect::<Vec<i64>>(), "from schema {number}: in every state");

        let (shop, form_id) = (AppName::new("shop").unwrap(), SourceName::new(FORM_ID).unwrap());
        for known in ["a", "b"] {
            assert!(store.reader.is_known(&shop, &form_id, known).await.unwrap(), "from schema {number}: {known}");
        }
        let brought = store.post(vec![permit("ann", "a"), permit("ann", "b"), permit("ann", "c")]).await.credentials;
        assert!(
            matches!(
                brought[..],
                [CredentialIntake::Repeated, CredentialIntake::Repeated, CredentialIntake::New(id)] if id.0 > 2
            ),
            "from schema {number}: {brought:?}"
        );
        let id = store.accept_one(BOUND, "ann").await;
        assert!(id.0 > 11, "from schema {number}: an id is given once");
        assert_eq!(pairs(&store.claim(BOUND, 1).await), [(id, "a".to_owned())], "from schema {number}");
    }
}

#[tokio::test]
async fn engines_that_open_an_earlier_database_at_once_upgrade_it_once() {
    let home = earlier(1).await;
    let opened = tokio::join!(home.open(), home.open(), home.open());
    for opened in [opened.0, opened.1, opened.2] {
        let (writer, reader) = opened.expect("it opens");
        drop(reader);
        writer.close().await.expect("it closes");
    }
    assert_eq!(schema(&home).await, steps().len().to_string());
}

#[tokio::test]
async fn a_database_of_a_newer_program_is_refused_and_left_alone() {
    let mut store = Store::new(Home::postgres()).await;
    let id = store.accept_one(FREE, "ann").await;
    let home = store.close().await;
    let known = schema(&home).await;
    run(&mut home.connect().await, "UPDATE meta SET value = '4711' WHERE key = 'schema'".to_owned()).await;
    let refused = home.open().await.unwrap_err();
    assert!(matches!(refused, StoreError::Newer { found: 4711, .. }), "{refused}");
    run(&mut home.connect().await, format!("UPDATE meta SET value = '{known}' WHERE key = 'schema'")).await;
    assert_eq!(Store::new(home).await.state(id).await, State::Queued);
}
