//! PostgreSQL's plans hang on what it believes of the rows, and it believes what it counted last: how many are in a queue
//! changes by the second. So what is looked at is what each statement reads, on full tables, whatever is believed of them.
//!
//! Each is planned and run as the engine has it, with arguments that name a handful of rows, and rolled back. Two things
//! are bounded, for every part of its plan: the blocks it read, and the rows it met, with those it threw away. The first
//! alone would not do: a walk through the index of 40,000 queued messages reads no more than 400 blocks.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Row as _};
use tidings_model::{State, Timestamp};
use tidings_store::{BulkFilter, MessageFilter, Planned, Span};

use super::harness::Home;

/// How the engine has its statements planned.
#[path = "../../src/sql/planning.rs"]
mod planning;

/// How many rows the arguments name.
const NAMED: i64 = 32;
/// Blocks for each row that is named: it is looked up in the tables of several days, and a new version of it may be written
/// into half a dozen indexes of two or three levels.
const BLOCKS_A_ROW: u64 = 35;
/// Blocks for whatever is named: what the catalog says of tables that were not met before.
const BLOCKS_ALWAYS: u64 = 200;
/// Rows that a part of the plan meets for each that is named. The server rounds what one turn of a loop met.
const ROWS_A_ROW: u64 = 4;
const ROWS_ALWAYS: u64 = 40;
/// What compares each with each does not end in a test's time; what looks up takes milliseconds.
const ENDS_WITHIN: Duration = Duration::from_secs(30);
/// What the server says of a statement that took longer (`query_canceled`).
const CANCELLED: &str = "57014";

const NOW: i64 = 1_700_000_000_000;
const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;
const TODAY: i64 = NOW - NOW % DAY;
const TODAYS: &str = "message_done_20231114";

// How many there are of each kind, and the number behind which theirs begin.
const QUEUED: u64 = 40_000;
const SENDING: u64 = 400;
const SENDING_FROM: i64 = 50_000;
const SCHEDULED: u64 = 10_000;
const SCHEDULED_FROM: i64 = 60_000;
const WAITING: u64 = 10_000;
const WAITING_FROM: i64 = 70_000;
const DONE: u64 = 20_000;
const DONE_FROM: i64 = 100_000;
const FAILED: u64 = 5_000;
const FAILED_FROM: i64 = 130_000;
const RECEIPTS: u64 = 5_000;
/// Behind all that are there.
const NEW_FROM: i64 = 900_000;

/// What there is little of.
fn fixed() -> String {
    let yesterday = TODAY - DAY;
    format!(
        "
    INSERT INTO channel (name) VALUES ('a'), ('b'), ('c');
    INSERT INTO template (name) VALUES ('t');
    INSERT INTO schedule (name, definition, cursor_at) VALUES ('daily', 'd', 20000);
    INSERT INTO webhook (name) VALUES ('hook'), ('other');
    INSERT INTO node (name, version, config, started_at, renewed_at, lease_until)
    VALUES ('gone', 'v', 'c', 0, 0, 0), ('long gone', 'v', 'c', 0, 0, 0);
    INSERT INTO tally (node_id, channel_id, state, count)
    SELECT n, c, s, 1000 FROM generate_series(1, 3) AS n, generate_series(1, 3) AS c, generate_series(0, 10) AS s;
    SELECT tidings_day(parent, day)
    FROM unnest(ARRAY['message_done', 'message_failed']) AS parent, unnest(ARRAY[{TODAY}, {yesterday}]) AS day;
    DO $$
    DECLARE name text;
    BEGIN
        FOR name IN SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' LOOP
            EXECUTE format('ALTER TABLE %I SET (autovacuum_enabled = off)', name);
        END LOOP;
    END $$;"
    )
}

/// What there is much of, from so many thousandths of it to so many.
fn many(node: i64, from: u64, to: u64) -> String {
    format!(
        "
    CREATE OR REPLACE FUNCTION pg_temp.each(bigint) RETURNS SETOF bigint LANGUAGE sql
    AS $$ SELECT generate_series($1 * {from} / 1000 + 1, $1 * {to} / 1000) $$;
    INSERT INTO message (id, channel_id, template_id, recipient, state, priority, due_at, created_at, expires_at, data)
    SELECT i, 1, 1, 'user' || i, 1, i % 3, {NOW} - 100000 + i, i, CASE i % 2 WHEN 0 THEN {NOW} + {HOUR} + i END, 'd'
    FROM pg_temp.each({QUEUED}) AS i;
    INSERT INTO message (id, channel_id, template_id, recipient, state, priority, due_at, created_at, claimed_at, data,
                         first_try_at, generation, attempts, node_id, claim)
    SELECT {SENDING_FROM} + i, 1, 1, 'sent' || i, 3, 0, i, i, {NOW}, 'd', {NOW}, 1, 1, {node}, i / 8
    FROM pg_temp.each({SENDING}) AS i;
    INSERT INTO message (id, channel_id, template_id, recipient, state, priority, due_at, created_at, generation, data)
    SELECT {SCHEDULED_FROM} + i, 1, 1, 'later' || i, 0, 0, {NOW} + i * 1000, i, i % 2, 'd' FROM pg_temp.each({SCHEDULED}) AS i;
    INSERT INTO message (id, channel_id, template_id, recipient, state, priority, due_at, created_at, reason, data)
    SELECT {WAITING_FROM} + i, 3, 1, 'wait' || i, 2, 0, i, i, 'no_credential', 'd' FROM pg_temp.each({WAITING}) AS i;
    INSERT INTO message (id, channel_id, template_id, recipient, state, priority, due_at, created_at, reason, data)
    SELECT 80000 + i, 1, 1, 'held' || i, 4, 0, i, i, 'by hand', 'd' FROM pg_temp.each(1000) AS i;
    INSERT INTO message (id, channel_id, template_id, recipient, state, priority, due_at, created_at, finished_at,
                         provider_id, generation, data)
    SELECT {DONE_FROM} + i, 1, 1, 'user' || i, 5, 0, i, i, {NOW} - i % 2 * {DAY}, 'provider' || i, 1, 'd'
    FROM pg_temp.each({DONE}) AS i;
    INSERT INTO message (id, channel_id, template_id, recipient, state, priority, due_at, created_at, finished_at,
                         provider_id, generation, reason, data)
    SELECT {FAILED_FROM} + i, 1, 1, 'user' || i, 7 + i % 2, 0, i, i, {NOW} - i % 2 * {DAY}, 'failed' || i, 1, 'refused',
           'd'
    FROM pg_temp.each({FAILED}) AS i;
    INSERT INTO credential (id, app, source, recipient, value, identity, uses_left, expires_at, created_at)
    SELECT i, 'shop', 'wechat.form_id', 'user' || i, 'v', 'i' || i, 1, CASE i % 2 WHEN 0 THEN {NOW} + {DAY} END, i
    FROM pg_temp.each({QUEUED}) AS i;
    INSERT INTO credential_identity (identity, source, app, credential_id)
    SELECT 'i' || i, 'wechat.form_id', 'shop', i FROM pg_temp.each({QUEUED}) AS i;
    INSERT INTO credential (id, app, source, recipient, value, uses_left, created_at, bound_to)
    SELECT {SENDING_FROM} + i, 'shop', 'wechat.form_id', 'sent' || i, 'v', 2, i, {SENDING_FROM} + i
    FROM pg_temp.each({SENDING}) AS i;
    INSERT INTO credential (id, app, source, recipient, value, uses_left, created_at)
    SELECT 55000 + i, 'shop', 'wechat.form_id', 'sent' || i, 'v', 1, i FROM pg_temp.each({SENDING}) AS i;
    INSERT INTO credential (id, app, source, recipient, value, uses_left, created_at)
    SELECT 60000 + i, 'shop', 'wechat.form_id', 'user' || i, 'v', 0, i FROM pg_temp.each(5000) AS i;
    INSERT INTO credential (id, app, source, recipient, value, uses_left, created_at)
    SELECT {WAITING_FROM} + i, 'shop', 'wechat.grant', 'wait' || i, 'v', 1, i FROM pg_temp.each({WAITING}) AS i;
    INSERT INTO idempotency (key, message_id, body_hash, expires_at)
    SELECT 'key' || i, i, 0, {NOW} + {DAY} FROM pg_temp.each(20000) AS i;
    INSERT INTO attempt (message_id, generation, started_at, ended_at, outcome, detail)
    SELECT {DONE_FROM} + i, 1, i, i, 'retry', '' FROM pg_temp.each({DONE}) AS i;
    INSERT INTO moment (message_id, what, at) SELECT {DONE_FROM} + i, 'waiting', i FROM pg_temp.each({DONE}) AS i;
    INSERT INTO audit (id, at, who, act, subject, count)
    SELECT i, i, 'ann', 'message.retry', 'message', 1 FROM pg_temp.each(20000) AS i;
    INSERT INTO acted (message_id, audit_id) SELECT {DONE_FROM} + i, i FROM pg_temp.each({DONE}) AS i;
    INSERT INTO notice (webhook, event, happened_at, data, due_at, attempts)
    SELECT 'hook', 'message.sent', i, 'd', i, 0 FROM pg_temp.each(20000) AS i;
    INSERT INTO notice (webhook, event, happened_at, data, due_at, attempts)
    SELECT 'other', 'message.sent', i, 'd', i, 1 FROM pg_temp.each(200) AS i;
    INSERT INTO receipt (app, provider_id, delivered, detail, received_at)
    SELECT 'shop', 'early' || i, 1, '', i FROM pg_temp.each({RECEIPTS}) AS i;
    INSERT INTO suppression (app, recipient, reason, who, created_at, expires_at)
    SELECT 'shop', 'none' || i, 'asked', 'ann', i, CASE i % 2 WHEN 0 THEN {NOW} + i END FROM pg_temp.each(20000) AS i;
    INSERT INTO run (id, schedule, nominal_at, job, state, started_at, ended_at)
    SELECT i, 'daily', i, 'job', CASE WHEN i <= 8 THEN 0 ELSE 1 END, i, CASE WHEN i > 8 THEN i END FROM pg_temp.each(5000) AS i;
    INSERT INTO run_log (run_id, line, at, level, text)
    SELECT i, line, i, 0, 'so far' FROM pg_temp.each(5000) AS i, generate_series(1, 2) AS line;
    INSERT INTO firing (schedule, nominal_at, verdict, decided_at, run_id)
    SELECT 'daily', i, 'run', i, i FROM pg_temp.each(10000) AS i;
    INSERT INTO api_key (name, hash, scopes, created_at, created_by)
    SELECT 'key' || i, 'hash' || i, 'all', i, 'ann' FROM pg_temp.each(1000) AS i;"
    )
}

/// A statement's arguments, and what it may read.
struct Case {
    /// As SQL, each with its type behind the last `::`, which is the one that the engine binds.
    arguments: Vec<String>,
    /// Rows that are named, or that it walks.
    rows: u64,
    /// Why it walks what nobody named, if it does.
    walks: Option<&'static str>,
}

/// One that looks up what it is asked for.
fn looks_up(rows: i64, arguments: Vec<String>) -> Case {
    Case { arguments, rows: u64::try_from(rows).expect("a number of rows"), walks: None }
}

/// One that by its nature reads all of something, of which there are so many.
fn walks(rows: u64, why: &'static str, arguments: Vec<String>) -> Case {
    Case { arguments, rows, walks: Some(why) }
}

fn number(value: i64) -> String {
    format!("{value}::bigint")
}

fn text(value: &str) -> String {
    format!("'{value}'::text")
}

fn none(kind: &str) -> String {
    format!("NULL::{kind}")
}

/// A list as the engine writes it into one JSON text, of [`NAMED`].
fn json(row: impl Fn(i64) -> Value) -> String {
    text(&Value::from((1..=NAMED).map(row).collect::<Vec<Value>>()).to_string())
}

/// Whole numbers from behind that one on.
fn ids(from: i64) -> String {
    json(|i| (from + i).into())
}

fn names(start: &str) -> String {
    json(|i| format!("{start}{i}").into())
}

/// A column of a list of [`NAMED`] rows.
fn numbers(value: impl Fn(i64) -> Option<i64>) -> String {
    let values: Vec<String> = (1..=NAMED).map(|i| value(i).map_or("NULL".to_owned(), |it| it.to_string())).collect();
    format!("'{{{}}}'::bigint[]", values.join(","))
}

fn texts(value: impl Fn(i64) -> String) -> String {
    let values: Vec<String> = (1..=NAMED).map(value).collect();
    format!("'{{{}}}'::text[]", values.join(","))
}

fn no_texts() -> String {
    format!("'{{{}}}'::text[]", vec!["NULL"; usize::try_from(NAMED).expect("a few")].join(","))
}

/// Outcomes of attempts that are under way, as `settle.sql` has them: one half sent, the other to be tried again.
fn outcomes() -> Vec<String> {
    let zeros = || numbers(|_| Some(0));
    vec![
        numbers(|i| Some(SENDING_FROM + i)),
        numbers(|_| Some(1)),
        numbers(|i| Some(if i % 2 == 0 { 5 } else { 0 })),
        numbers(|i| (i % 2 != 0).then_some(NOW)),
        numbers(|_| Some(1)),
        zeros(),
        zeros(),
        numbers(|i| (i % 2 == 0).then_some(NOW)),
        no_texts(),
        texts(|_| "shop".to_owned()),
        texts(|i| format!("new{i}")),
        numbers(|i| Some(2 - i % 2)),
    ]
}

/// What follows in a turn: behind the first ten thousand of one priority, and at the front of another.
fn claims_of_a_turn(node: i64) -> Vec<String> {
    let zeros = || numbers(|_| Some(0));
    let places = format!("[[1,{},10000],[0,0,0]]", NOW - 90_000);
    let asks = format!(r#"[[1,{NAMED},100000,0,{places},"shop",{{"wechat.form_id":{NOW}}},{{"1":"s"}}]]"#);
    vec![
        zeros(),
        zeros(),
        texts(|_| "shop".to_owned()),
        text("[[1,3,-32],[1,5,16],[1,0,16]]"),
        text(&asks),
        number(NOW),
        number(node),
        number(7),
    ]
}

/// What each statement is asked, by its file's name. It is asked of rows that are there, or to write new ones.
#[expect(clippy::too_many_lines, reason = "one entry for each statement")]
fn cases(node: i64) -> BTreeMap<&'static str, Case> {
    let zeros = || numbers(|_| Some(0));
    let nones = || numbers(|_| None);
    let shops = || texts(|_| "shop".to_owned());
    let dailies = || texts(|_| "daily".to_owned());
    let sources = || text(&format!(r#"{{"wechat.form_id":{NOW}}}"#));
    let shop = || text("shop");
    let no_text = || none("text");
    BTreeMap::from([
        ("acts_on", looks_up(1, vec![number(DONE_FROM + 1), number(100)])),
        ("change_bump", looks_up(0, vec![])),
        ("change_look", looks_up(0, vec![])),
        ("claim", looks_up(NAMED * 2, vec![numbers(Some), numbers(Some), number(NOW), number(node), number(7)])),
        ("claim_head", looks_up(NAMED, vec![number(1), number(NOW), number(NAMED)])),
        (
            "claim_next",
            // Behind the first ten thousand of them.
            looks_up(
                NAMED,
                vec![number(1), number(NOW), number(NAMED), number(1), number(NOW - 90_000), number(10_000)],
            ),
        ),
        ("claim_permits", looks_up(NAMED, vec![shop(), names("user"), sources(), number(1024)])),
        ("claim_permits_of_many", looks_up(NAMED, vec![shop(), names("user"), sources(), number(NAMED)])),
        ("claim_wait", looks_up(NAMED, vec![ids(0)])),
        ("count_reasons", walks(FAILED, "it counts all that failed", vec![number(7), no_text(), number(100)])),
        ("day_tally", walks(DONE, "it counts a day that leaves", vec![])),
        ("day_trail_acted", walks(DONE, "it empties a day that leaves", vec![])),
        ("day_trail_attempts", walks(DONE, "it empties a day that leaves", vec![])),
        ("day_trail_moments", walks(DONE, "it empties a day that leaves", vec![])),
        ("days", walks(1000, "it reads the catalog", vec![])),
        ("days_left", walks(1000, "it reads the catalog", vec![])),
        ("delay_notices", looks_up(NAMED, vec![numbers(Some), zeros(), zeros(), no_texts()])),
        ("delete_acted", looks_up(NAMED, vec![ids(DONE_FROM)])),
        ("delete_attempts", looks_up(NAMED, vec![ids(DONE_FROM)])),
        ("delete_audit", looks_up(NAMED, vec![ids(0)])),
        ("delete_credentials", looks_up(NAMED, vec![ids(0), number(NOW + 2 * DAY), number(NOW)])),
        ("delete_keys", looks_up(NAMED, vec![names("key")])),
        ("delete_messages", looks_up(NAMED, vec![ids(DONE_FROM)])),
        ("delete_moments", looks_up(NAMED, vec![ids(DONE_FROM)])),
        ("delete_notices", looks_up(NAMED, vec![ids(0)])),
        ("delete_run_logs", looks_up(NAMED, vec![ids(0)])),
        ("delete_runs", looks_up(NAMED, vec![ids(0)])),
        ("delete_suppression", looks_up(1, vec![shop(), text("none1")])),
        ("drop_notices", looks_up(NAMED, vec![text("other"), number(NAMED)])),
        ("drop_receipts", looks_up(NAMED, vec![shops(), texts(|i| format!("early{i}"))])),
        ("drop_sisters", looks_up(NAMED, vec![json(|i| vec![SENDING_FROM + i, NOW].into())])),
        ("due", looks_up(NAMED, vec![number(NOW + HOUR), number(NAMED)])),
        ("due_notices", looks_up(NAMED, vec![text("other"), number(NAMED)])),
        ("expire", looks_up(NAMED, vec![ids(SCHEDULED_FROM), number(NOW)])),
        ("find_identities", looks_up(NAMED, vec![shop(), text("wechat.form_id"), names("i")])),
        ("find_keys", looks_up(NAMED, vec![names("key"), number(NOW)])),
        ("find_received", looks_up(NAMED, vec![names("provider")])),
        ("fire_lock", looks_up(0, vec![])),
        ("fired_before", looks_up(NAMED, vec![dailies(), numbers(Some), zeros()])),
        ("forecast_page", looks_up(NAMED, vec![text("user"), number(NOW), number(NAMED)])),
        ("insert_acted", looks_up(NAMED, vec![numbers(Some), numbers(Some)])),
        ("insert_attempts", looks_up(NAMED, vec![numbers(Some), zeros(), zeros(), zeros(), shops(), shops()])),
        (
            "insert_audit",
            looks_up(
                NAMED,
                vec![
                    numbers(|i| Some(NEW_FROM + i)),
                    zeros(),
                    shops(),
                    shops(),
                    shops(),
                    no_texts(),
                    no_texts(),
                    nones(),
                ],
            ),
        ),
        (
            "insert_credentials",
            looks_up(
                NAMED,
                vec![
                    numbers(|i| Some(NEW_FROM + i)),
                    shops(),
                    texts(|_| "wechat.form_id".to_owned()),
                    texts(|i| format!("user{i}")),
                    no_texts(),
                    shops(),
                    texts(|i| if i % 2 == 0 { format!("i{i}") } else { format!("new{i}") }),
                    numbers(|_| Some(1)),
                    nones(),
                    zeros(),
                    nones(),
                ],
            ),
        ),
        (
            "insert_firings",
            looks_up(
                NAMED,
                vec![
                    dailies(),
                    numbers(|i| Some(if i % 2 == 0 { i } else { NEW_FROM + i })),
                    texts(|_| "run".to_owned()),
                    zeros(),
                    zeros(),
                    nones(),
                    numbers(|i| Some(i / 2 % 2)),
                ],
            ),
        ),
        (
            "insert_messages",
            looks_up(
                NAMED,
                vec![
                    numbers(|_| Some(1)),
                    numbers(|_| Some(1)),
                    texts(|i| format!("user{i}")),
                    numbers(|i| Some(i % 2)),
                    zeros(),
                    numbers(|_| Some(NOW)),
                    numbers(|_| Some(NOW + HOUR)),
                    nones(),
                    zeros(),
                    shops(),
                    no_texts(),
                    texts(|i| if i % 2 == 0 { format!("key{i}") } else { format!("new{i}") }),
                    zeros(),
                    zeros(),
                    number(NOW + 2 * DAY),
                    number(-node),
                ],
            ),
        ),
        (
            "insert_unkeyed_messages",
            looks_up(
                NAMED,
                vec![
                    numbers(|_| Some(1)),
                    numbers(|_| Some(1)),
                    texts(|i| format!("user{i}")),
                    numbers(|i| Some(i % 2)),
                    zeros(),
                    numbers(|_| Some(NOW)),
                    numbers(|_| Some(NOW + HOUR)),
                    nones(),
                    zeros(),
                    shops(),
                    no_texts(),
                    number(-node),
                    text("[[1,0,16],[1,1,16]]"),
                ],
            ),
        ),
        ("insert_notices", looks_up(NAMED, vec![texts(|_| "hook".to_owned()), shops(), zeros(), shops()])),
        (
            "insert_runs",
            looks_up(
                NAMED,
                vec![
                    numbers(|i| Some(NEW_FROM + i)),
                    dailies(),
                    numbers(|i| Some(if i % 2 == 0 { i } else { NEW_FROM + i })),
                    shops(),
                    zeros(),
                    number(node),
                ],
            ),
        ),
        ("insert_suppression", looks_up(1, vec![shop(), text("none1"), shop(), shop(), number(0), none("bigint")])),
        ("inserted_credentials", looks_up(NAMED, vec![ids(0)])),
        ("keep_receipts", looks_up(NAMED, vec![shops(), texts(|i| format!("new{i}")), zeros(), shops(), zeros()])),
        ("lane_lock", looks_up(0, vec![text("[3, 1, 2]")])),
        ("late", looks_up(NAMED, vec![number(NOW + HOUR + 1000), number(NAMED)])),
        ("ledger_lock", looks_up(0, vec![names("user")])),
        ("ledger_try", looks_up(0, vec![names("user")])),
        ("moments_bound", looks_up(NAMED, vec![json(|i| serde_json::json!([DONE_FROM + i, "detail"])), number(NOW)])),
        (
            "moments_received",
            looks_up(
                NAMED,
                vec![json(|i| serde_json::json!([DONE_FROM + i, 5, 6 + i % 2, "reason", "detail"])), number(NOW)],
            ),
        ),
        ("moments_waiting", looks_up(NAMED, vec![ids(DONE_FROM), number(NOW)])),
        ("next_due", looks_up(1, vec![])),
        ("node_join", looks_up(0, vec![text("new"), shop(), shop(), number(1000), no_text()])),
        ("node_leave", looks_up(1, vec![number(node)])),
        ("node_renew", looks_up(1, vec![number(node), number(1000), number(0), number(0), number(0), text("config")])),
        (
            "orphans_left",
            walks(SENDING, "it looks through all that are being sent for those of nobody", vec![text("[1,2]")]),
        ),
        ("nodes", walks(3, "it lists all nodes", vec![])),
        ("nodes_gone", walks(SENDING, "it looks whether anything being sent is theirs", vec![number(0)])),
        ("nodes_lapsed", looks_up(0, vec![number(node), number(60_000)])),
        (
            "note_run",
            looks_up(
                1,
                vec![
                    number(1),
                    number(1),
                    none("bigint"),
                    no_text(),
                    none("bigint"),
                    number(0),
                    number(0),
                    none("bigint"),
                    no_text(),
                    number(1),
                    number(node),
                    number(1),
                ],
            ),
        ),
        ("oldest_notices", looks_up(2, vec![text(r#"["hook","other"]"#)])),
        (
            "operate",
            looks_up(
                NAMED,
                vec![
                    json(|i| match i % 2 {
                        0 => serde_json::json!([i, 1, 10, null]),
                        _ => serde_json::json!([FAILED_FROM + i, 7 + i % 2, 1, null]),
                    }),
                    number(NOW),
                    text("reason"),
                    text("detail"),
                ],
            ),
        ),
        (
            "orphans",
            walks(
                SENDING,
                "it looks through all that are being sent for those of nobody",
                vec![number(node), number(1024), number(-1), text("[1]"), text("[1,2]")],
            ),
        ),
        // Three priorities, and three questions about each.
        ("queue_heads", looks_up(9, vec![text("[1,2,3]")])),
        ("raise_audit", looks_up(1, vec![number(1), number(1)])),
        ("reach_bound", looks_up(NAMED, vec![text("sent400"), number(NAMED)])),
        ("reach_free", looks_up(1, vec![text("user1"), number(NAMED)])),
        ("reach_of_many", looks_up(NAMED, vec![names("user"), shop(), number(100)])),
        ("reach_suppressed", looks_up(1, vec![text(r#"["shop"]"#), text("none1"), number(NOW)])),
        ("reach_waiting", looks_up(1, vec![text("wait1"), number(NAMED)])),
        (
            "receipts_met",
            walks(RECEIPTS, "it asks of all receipts that wait, once in a while", vec![number(NAMED), number(600_000)]),
        ),
        (
            "receive",
            looks_up(NAMED, vec![json(|i| serde_json::json!([DONE_FROM + i, 5, 6, "reason", "detail"])), number(NOW)]),
        ),
        (
            "release_claims",
            walks(
                SENDING,
                "after a transaction whose end nobody heard it looks for what it claimed among all that are being sent",
                vec![number(node), text("[1]")],
            ),
        ),
        ("save_key", looks_up(1, vec![text("key1"), text("hash"), shop(), number(0), shop(), none("bigint")])),
        (
            "save_schedules",
            looks_up(
                1,
                vec![
                    "'{daily}'::text[]".to_owned(),
                    "'{d}'::text[]".to_owned(),
                    "'{1}'::bigint[]".to_owned(),
                    "'{1}'::bigint[]".to_owned(),
                    "'{0}'::bigint[]".to_owned(),
                    "'{NULL}'::bigint[]".to_owned(),
                ],
            ),
        ),
        ("save_tally", looks_up(NAMED, vec![numbers(|_| Some(1)), numbers(Some), numbers(Some), number(node)])),
        (
            "save_token",
            looks_up(
                1,
                vec![shop(), text("v"), number(1), number(0), number(0), number(0), number(1), text("account")],
            ),
        ),
        (
            "set_back",
            walks(
                SCHEDULED,
                "a clock is seldom set back, and then it moves all of them",
                vec![number(HOUR), number(NOW), text(&format!("[{node}]"))],
            ),
        ),
        ("settle", looks_up(NAMED * 2, outcomes())),
        ("settle_look", looks_up(NAMED, vec![json(|i| vec![SENDING_FROM + i, 1].into())])),
        ("spend_abandoned", looks_up(NAMED, vec![ids(SENDING_FROM)])),
        ("states_before", looks_up(NAMED, vec![json(|i| (if i % 2 == 0 { i } else { DONE_FROM + i }).into())])),
        (
            "step_run",
            looks_up(
                1,
                vec![
                    number(1),
                    number(1),
                    text("place"),
                    number(1),
                    none("bigint"),
                    number(1),
                    number(0),
                    number(0),
                    number(0),
                    number(1),
                    none("bigint"),
                    none("bigint"),
                ],
            ),
        ),
        ("suppressed", looks_up(NAMED, vec![json(|i| serde_json::json!(["shop", format!("none{i}")])), number(NOW)])),
        ("suppressed_of_many", looks_up(NAMED, vec![names("none"), shop(), number(NOW)])),
        ("sweep_audit", looks_up(NAMED, vec![number(0), number(NAMED), number(NOW)])),
        ("sweep_credentials", looks_up(NAMED, vec![number(0), number(NAMED), number(NOW + 2 * DAY), number(NOW)])),
        ("sweep_firings", looks_up(NAMED, vec![number(NAMED + 1), number(NAMED)])),
        ("sweep_keys", looks_up(NAMED, vec![text(""), number(NAMED), number(NOW + 2 * DAY)])),
        (
            "sweep_messages",
            looks_up(
                NAMED,
                std::iter::once(number(DONE_FROM))
                    .chain([number(NAMED), number(NOW)])
                    .chain((0..6).map(|_| number(NOW)))
                    .collect(),
            ),
        ),
        ("sweep_runs", looks_up(NAMED, vec![number(0), number(NAMED), number(NOW)])),
        ("sweep_suppressions", looks_up(NAMED, vec![number(NOW + HOUR), number(NAMED)])),
        ("token_fetch", looks_up(1, vec![shop(), number(node), number(1000)])),
        // Outcomes and their permits, what is claimed and its permits; all of it is written where it was found.
        ("turn", looks_up(NAMED * 4, [outcomes(), claims_of_a_turn(node)].concat())),
        ("wake_all", walks(WAITING, "once, at the start, it asks for all who wait", vec![])),
        ("wake_notices", walks(200, "all that wait for a webhook are due at once", vec![text("other"), number(NOW)])),
        ("wake_waiting", looks_up(NAMED, vec![names("wait")])),
        (
            "withdraw",
            looks_up(
                NAMED,
                vec![json(|i| serde_json::json!([format!("user{i}"), "shop", "wechat.form_id", null, null, NOW]))],
            ),
        ),
    ])
}

/// What a plan's parts did, from the top, and what of it counts.
#[derive(Default)]
struct Done {
    /// A line for each part, indented.
    lines: String,
    /// The most that any part read, with the parts it has.
    blocks: u64,
    /// The most that any part met, with those that it threw away.
    rows: u64,
    /// What the indexes gave, and what was written anew.
    found: u64,
}

impl Done {
    fn of(plan: &Value) -> Done {
        let mut done = Done::default();
        done.add(plan, 0);
        done
    }

    fn add(&mut self, part: &Value, depth: usize) {
        let number = |key: &str| part[key].as_f64().unwrap_or(0.0);
        let removed: f64 = part
            .as_object()
            .expect("a part has a name for each value")
            .iter()
            .filter(|(key, _)| key.starts_with("Rows Removed by"))
            .filter_map(|(_, value)| value.as_f64())
            .sum();
        let loops = number("Actual Loops");
        let (rows, removed) = (whole(number("Actual Rows") * loops), whole(removed * loops));
        let blocks = whole(number("Shared Hit Blocks") + number("Shared Read Blocks"));
        self.blocks = self.blocks.max(blocks);
        self.rows = self.rows.max(rows + removed);
        if part["Index Name"].is_string() {
            self.found += rows;
        }
        write!(self.lines, "\n    {:indent$}", "", indent = depth * 2).expect("a line is written");
        for key in [
            "Subplan Name",
            "Operation",
            "Node Type",
            "Index Name",
            "Relation Name",
            "CTE Name",
            "Index Cond",
            "Recheck Cond",
            "Filter",
            "Hash Cond",
            "Join Filter",
            "Merge Cond",
        ] {
            if let Some(text) = part[key].as_str() {
                write!(self.lines, "{text} ").expect("a line is written");
            }
        }
        write!(self.lines, "| {rows} rows, {removed} thrown away, {loops} times, {blocks} blocks")
            .expect("a line is written");
        for part in part["Plans"].as_array().into_iter().flatten() {
            self.add(part, depth + 1);
        }
        // What is written anew is found nowhere.
        if part["Operation"] == "Insert" {
            self.found += whole(part["Plans"][0]["Actual Rows"].as_f64().unwrap_or(0.0));
        }
    }
}

fn whole(number: f64) -> u64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of what was read")]
    let number = number.round() as u64;
    number
}

async fn run(connection: &mut PgConnection, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
        .execute(connection)
        .await
        .unwrap_or_else(|error| panic!("{error}: {sql}"));
}

/// What this session was given by the indexes, read of tables from end to end, and wrote anew, since the server took it over: also
/// inside a function, of which a plan says nothing.
const MET: &str =
    "SELECT sum(pg_stat_get_xact_tuples_returned(oid) + pg_stat_get_xact_tuples_inserted(oid))::bigint FROM pg_class
    WHERE relnamespace = 'public'::regnamespace";

async fn met(connection: &mut PgConnection) -> i64 {
    sqlx::query_scalar(MET).fetch_one(connection).await.expect("it is counted")
}

/// The plan of the statement that is prepared under that name, with that in it, and nothing if it did not end. It is rolled
/// back. What it does inside a function is in it as one part more.
async fn plan(connection: &mut PgConnection, name: &str, with: &str, case: &Case) -> Option<Value> {
    run(connection, &format!("BEGIN; SET LOCAL statement_timeout = '{}ms'", ENDS_WITHIN.as_millis())).await;
    let before = met(connection).await;
    let explain =
        format!("EXPLAIN ({with}FORMAT JSON) EXECUTE {name} {}", list(case.arguments.iter().map(String::as_str)));
    let answer = sqlx::raw_sql(AssertSqlSafe(explain)).fetch_one(&mut *connection).await;
    let inside = if answer.is_ok() { met(connection).await - before } else { 0 };
    run(connection, "ROLLBACK").await;
    match answer {
        Ok(row) => {
            let plan: Value = serde_json::from_str(&row.get_unchecked::<String, _>(0)).expect("a plan is JSON");
            let mut plan = plan[0]["Plan"].clone();
            if plan["Function Name"].as_str().is_some_and(|name| name.starts_with("tidings_")) {
                plan["Plans"] = json!([{ "Index Name": "inside", "Actual Rows": inside, "Actual Loops": 1 }]);
            }
            Some(plan)
        }
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some(CANCELLED) => None,
        Err(error) => panic!("{name}.sql: {error}"),
    }
}

/// In parentheses, if there are any.
fn list<'a>(of: impl Iterator<Item = &'a str>) -> String {
    let inner = of.collect::<Vec<&str>>().join(", ");
    if inner.is_empty() { inner } else { format!("({inner})") }
}

/// Has the server keep a statement under its name, as an engine's connection does: planned once, by what is there now.
async fn prepare(connection: &mut PgConnection, name: &str, sql: &str, case: &Case) {
    let kinds = case.arguments.iter().map(|it| it.rsplit("::").next().expect("an argument has a type"));
    run(connection, &format!("PREPARE {name} {} AS {sql}", list(kinds))).await;
    plan(connection, name, "", case).await.expect("to plan it takes no time");
}

/// Runs a statement as the engine would. Of one that does not end there are no figures, only the lines of its plan.
async fn explain(connection: &mut PgConnection, name: &str, case: &Case) -> Result<Done, String> {
    match plan(connection, name, "ANALYZE, BUFFERS, ", case).await {
        Some(plan) => Ok(Done::of(&plan)),
        None => Err(Done::of(&plan(connection, name, "", case).await.expect("to plan it takes no time")).lines),
    }
}

/// Every statement of the folder, by its file's name, with what it is asked. What walks comes last: what it wrote and took
/// back stays in the indexes.
fn statements(node: i64) -> Vec<(String, String, Case)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("sql/postgres");
    let mut cases = cases(node);
    let mut statements = Vec::new();
    for entry in std::fs::read_dir(folder).expect("the statements are there") {
        let path = entry.expect("a file").path();
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        let sql = std::fs::read_to_string(&path).expect("a statement is text");
        let case = cases.remove(name.as_str());
        let case =
            case.unwrap_or_else(|| panic!("{name}.sql has no entry here: say what it is asked, and of how many"));
        statements.push((name, sql.replace("{table}", TODAYS), case));
    }
    assert!(cases.is_empty(), "these have an entry and no file: {:?}", cases.keys());
    statements.sort_by(|a, b| (a.2.walks.is_some(), &a.0).cmp(&(b.2.walks.is_some(), &b.0)));
    statements
}

/// Plans every statement by what is there now.
async fn prepare_all(connection: &mut PgConnection, node: i64) {
    run(connection, "DEALLOCATE ALL").await;
    for (name, sql, case) in statements(node) {
        prepare(connection, &name, &sql, &case).await;
    }
}

/// Looks at every statement, which is prepared.
async fn check(connection: &mut PgConnection, node: i64, known: &str) {
    let mut wrong = Vec::new();
    for (name, _, case) in &statements(node) {
        let done = match explain(connection, name, case).await {
            Ok(done) => done,
            Err(lines) => {
                wrong.push(format!("{name}.sql, {known}, does not end within {ENDS_WITHIN:?}; its plan:{lines}"));
                continue;
            }
        };
        let blocks = case.rows * BLOCKS_A_ROW + BLOCKS_ALWAYS;
        let rows = case.rows * ROWS_A_ROW + ROWS_ALWAYS;
        if done.blocks > blocks || done.rows > rows {
            let what = case.walks.map_or("that it is asked for".to_owned(), |why| format!("that it walks ({why})"));
            wrong.push(format!(
                "{name}.sql, {known}, reads {} blocks (at most {blocks}) and meets {} rows (at most {rows}) for {} \
                 {what}:{}",
                done.blocks, done.rows, case.rows, done.lines
            ));
        } else if case.walks.is_none() && done.found < case.rows {
            wrong.push(format!(
                "{name}.sql, {known}, found {} of the {} that its entry names, so that nothing is shown:{}",
                done.found, case.rows, done.lines
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A store with what there is little of, the number of its node, and a connection that plans as the engine's do.
async fn empty(home: &Home) -> (PgConnection, i64) {
    let (writer, reader) = home.open().await.expect("a fresh store opens");
    drop(reader);
    writer.close().await.expect("it closes");
    let mut connection = home.connect().await;
    let row = sqlx::query("SELECT max(id) FROM node").fetch_one(&mut connection).await.expect("a node is there");
    let node = row.get(0);
    run(&mut connection, &fixed()).await;
    run(&mut connection, &format!("UPDATE node SET lease_until = {} WHERE id = {node}", i64::MAX / 2)).await;
    for (name, value) in planning::PLANNING {
        run(&mut connection, &format!("SET {name} = {value}")).await;
    }
    (connection, node)
}

#[tokio::test]
async fn no_statement_walks_a_queue_that_was_never_counted() {
    let home = Home::postgres();
    let (mut connection, node) = empty(&home).await;
    run(&mut connection, &many(node, 0, 1000)).await;
    prepare_all(&mut connection, node).await;
    check(&mut connection, node, "never analysed").await;
}

#[tokio::test]
async fn no_statement_walks_a_queue_that_was_empty_when_it_was_counted() {
    let home = Home::postgres();
    let (mut connection, node) = empty(&home).await;
    run(&mut connection, "ANALYZE").await;
    run(&mut connection, &many(node, 0, 1000)).await;
    prepare_all(&mut connection, node).await;
    check(&mut connection, node, "analysed when empty").await;
}

/// An engine that was started on an empty store sorted all that was queued at each claim, 120 ms of 200,000, and walked
/// through it at each outcome, until somebody counted the rows: it had planned when there were few, and kept that.
#[tokio::test]
async fn no_statement_that_was_planned_on_a_short_queue_walks_a_long_one_once_it_is_planned_anew() {
    for thousandths in [0, 1, 5, 50] {
        let home = Home::postgres();
        let (mut connection, node) = empty(&home).await;
        run(&mut connection, &many(node, 0, thousandths)).await;
        run(&mut connection, "VACUUM (ANALYZE)").await;
        prepare_all(&mut connection, node).await;
        run(&mut connection, &many(node, thousandths, 1000)).await;
        run(&mut connection, planning::PLAN_ANEW).await;
        check(&mut connection, node, &format!("analysed with {thousandths}/1000 of it")).await;
        run(&mut connection, "VACUUM (ANALYZE)").await;
        check(&mut connection, node, "analysed").await;
    }
}

/// The rows of what is on its way that sessions which have ended were given, of the table itself: an index entry that names
/// somebody else is none.
async fn fetched(connection: &mut PgConnection) -> i64 {
    let others = "SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()";
    // They count when they end.
    let ended = async {
        while sqlx::query_scalar::<_, i64>(others).fetch_one(&mut *connection).await.expect("it is counted") > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(ENDS_WITHIN, ended).await.expect("sessions that were closed end");
    let rows = "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_user_tables WHERE relname = 'message_hot'";
    sqlx::query_scalar(rows).fetch_one(connection).await.expect("it is counted")
}

/// A list of one recipient, and a bulk act, went by ids through all that was queued, scheduled and waiting, 300 ms of a million
/// rows: the planner took the index of ids for the order, and looked for the recipient in the rows.
#[tokio::test]
async fn whoever_asks_for_a_recipient_reads_no_row_of_anybody_else() {
    let home = Home::postgres();
    let (mut connection, node) = empty(&home).await;
    run(&mut connection, &many(node, 0, 1000)).await;
    for known in ["SELECT", "ANALYZE"] {
        run(&mut connection, known).await;
        let before = fetched(&mut connection).await;
        let (writer, reader) = home.open().await.expect("a store opens");
        for (recipient, queued) in [("user7", 1), ("nobody", 0)] {
            let recipient = Some(recipient.to_owned());
            for state in [None, Some(State::Queued)] {
                let filter =
                    MessageFilter { recipient: recipient.clone(), state, limit: 50, ..MessageFilter::default() };
                let page = reader.messages(&filter).await.expect("it is listed");
                assert_eq!(page.rows.iter().filter(|row| row.state == State::Queued).count(), queued);
            }
            let filter = BulkFilter { states: vec![State::Queued], recipient, ..BulkFilter::default() };
            let planned = Planned { at: Timestamp(NOW), now: Timestamp(NOW) };
            assert_eq!(reader.bulk(&filter, Span::ALL, planned, 50).await.expect("it is found").len(), queued);
            let counted = reader.count_bulk(&filter, Span::ALL).await.expect("it is counted");
            assert_eq!(
                counted.groups.iter().map(|(_, _, count)| *count).sum::<u64>(),
                u64::try_from(queued).expect("a number of rows")
            );
        }
        writer.close().await.expect("it closes");
        drop(reader);
        let read = fetched(&mut connection).await - before;
        // Opening a store looks at what is being sent.
        let most = i64::try_from(2 * SENDING + ROWS_ALWAYS).expect("a number of rows");
        assert!(read <= most, "after {known}: {read} rows were read, {most} at most");
    }
}
