//! Every bound of the engine, by its name. A limit that is not here is a limit nobody chose.

use std::time::Duration;

/// Bytes of a name in config.
pub const NAME_BYTES_MAX: usize = 64;
/// Bytes of a recipient.
pub const RECIPIENT_BYTES_MAX: usize = 512;
/// Bytes of an idempotency key (draft-ietf-httpapi-idempotency-key-header-07 leaves it to the server).
pub const IDEMPOTENCY_KEY_BYTES_MAX: usize = 255;
/// Bytes of a message's data, as JSON.
pub const DATA_BYTES_MAX: usize = 64 * 1024;
/// Bytes of what a provider calls a message, in a receipt.
pub const PROVIDER_ID_BYTES_MAX: usize = 256;
/// Bytes of a credential's value.
pub const CREDENTIAL_BYTES_MAX: usize = 1024;
/// Bytes of a text kept for people: a provider's answer, a reason.
pub const DETAIL_BYTES_MAX: usize = 1024;
/// Bytes of a provider's answer that are read; what is longer is no answer of a send call.
pub const RESPONSE_BYTES_MAX: usize = 256 * 1024;

/// Changes that the writer takes into one transaction.
pub const TICK_CHANGES_MAX: usize = 1024;
/// Changes that wait for the writer before a caller has to.
pub const WRITER_QUEUE_MAX: usize = 4096;
/// Messages made due, or expired, in one transaction.
pub const TICK_PROMOTIONS_MAX: usize = 1024;
/// Messages claimed for one channel in one transaction.
pub const TICK_CLAIMS_MAX: u32 = 512;
/// Bytes set aside beside the store, for the outcomes of what is on its way when the disk is full.
pub const BALLAST_BYTES: u64 = 16 * 1024 * 1024;
/// Pages of the store's log (4 KiB each, so 64 MiB) above which readers that hold on to it are interrupted.
pub const LOG_PAGES_MAX: i64 = 16 * 1024;
/// Events held in memory for whoever reads along; the oldest leave first. What one transaction changed leaves as a whole.
pub const EVENTS_HELD_MAX: usize = 16 * 1024;
/// Between two signs of life of a stream of events at most.
pub const EVENT_HEARTBEAT: Duration = Duration::from_secs(15);
/// Notices that wait for one webhook; beyond that the oldest leave, and are counted.
pub const NOTICES_MAX: u64 = 100_000;
/// Posts to one webhook at once.
pub const NOTICES_IN_FLIGHT_MAX: u32 = 16;
/// Readers of events at once.
pub const EVENT_READERS_MAX: usize = 1024;
/// Rows looked at in one transaction for what leaves by age: few, so that no tick is long.
pub const SWEEP_ROWS_MAX: u32 = 500;

/// Messages under way at once in a channel that does not say.
pub const IN_FLIGHT_DEFAULT: u32 = 64;
/// Attempts that count before a message has failed, in a channel that does not say.
pub const ATTEMPTS_DEFAULT: u32 = 12;
/// Crashes a message may be in the middle of before it is held.
pub const RESCUES_MAX: u32 = 3;
/// Attempts with a template that the provider calls broken, before the message is held: a good template has been
/// refused in bursts (wechat.md §4, 40037).
pub const TEMPLATE_TRIES_MAX: u32 = 3;
/// How long a channel cools when the provider does not say.
pub const THROTTLE_DEFAULT: Duration = Duration::from_secs(5);
/// How long a channel cools at most, whatever the provider says.
pub const THROTTLE_MAX: Duration = Duration::from_secs(3600);

/// Keys of callers in a store, revoked ones too: all of them are in memory.
pub const API_KEYS_MAX: usize = 1000;

/// Rows of a list in one answer.
pub const PAGE_ROWS_MAX: u32 = 250;
/// Rows that one page of a list looks at. Where few of them are what was asked for, the page has fewer rows, and says
/// where to go on.
pub const LIST_WALK_MAX: i64 = 20_000;
/// Lists of signposts that one page of a list reads: of sixteen million messages.
pub const SIGNPOSTS_READ_MAX: i64 = 2048;
/// Messages that a bulk act moves in one transaction.
pub const BULK_STEP_MAX: u32 = 500;
/// Messages that a bulk act moves before it answers; what is left takes another call.
pub const BULK_CALL_MAX: u32 = 10_000;
/// Messages or credentials in one request.
pub const BULK_ROWS_MAX: usize = 1000;
/// Bytes of what a provider pushes to us: anybody may send it, and its plugin reads it whole.
pub const PUSH_BYTES_MAX: usize = 256 * 1024;
/// How long the answer to a push may take once it is here. WeChat waits five seconds (wechat.md §5).
pub const PUSH_ANSWER_MAX: Duration = Duration::from_millis(4500);
/// Bytes of a request to our API.
pub const REQUEST_BYTES_MAX: usize = 8 * 1024 * 1024;

/// How long an idempotency key is remembered.
pub const IDEMPOTENCY_LIFE: Duration = Duration::from_secs(72 * 3600);
/// How long messages stay that were sent, delivered, expired or cancelled, in a store that does not say.
pub const KEEP_DONE_DEFAULT: Duration = Duration::from_secs(24 * 3600);
/// How long messages stay that failed or are unknown, in a store that does not say.
pub const KEEP_FAILED_DEFAULT: Duration = Duration::from_secs(30 * 24 * 3600);
/// How long the record of changes stays, in a store that does not say.
pub const KEEP_AUDIT_DEFAULT: Duration = Duration::from_secs(365 * 24 * 3600);
/// Lines of a run's log that are kept, the first ones; the others are counted.
pub const RUN_LOG_LINES_MAX: i64 = 1000;
/// Messages queued in a channel above which a broadcast accepts no more rows for it: it is sent as fast, what others send
/// waits less behind it, and a broadcast that is cancelled has little on its way.
pub const BROADCAST_QUEUE_MAX: i64 = 20_000;
/// Between two events that tell how far a run is, at least.
pub const RUN_PROGRESS_EVERY: Duration = Duration::from_secs(1);
/// Nominal times of an outage that a schedule runs after all, where it runs all of them and does not say how many.
pub const CATCH_UP_DEFAULT: u32 = 100;
/// The most that it may say.
pub const CATCH_UP_MAX: u32 = 10_000;
/// Nominal times of an outage that have a verdict each; one row stands for those before them.
pub const VERDICT_ROWS_MAX: usize = 100;
/// Nominal times that one backfill passes.
pub const BACKFILL_MAX: u64 = 1000;
/// Next times that an operator may have left out at once.
pub const SKIPS_MAX: u32 = 1000;
/// Schedules that are decided in one transaction.
pub const FIRINGS_PER_STEP_MAX: usize = 512;
/// Next times that are told of a schedule.
pub const NEXT_TIMES_MAX: u32 = 100;
/// How long runs and the verdicts of schedules stay.
pub const RUN_LIFE: Duration = Duration::from_secs(90 * 24 * 3600);
/// How long a used or dropped credential is remembered, so that its value is refused when it comes again.
pub const CREDENTIAL_MEMORY: Duration = Duration::from_secs(30 * 24 * 3600);
/// How long a receipt waits for the outcome of its message, which is on its way when the receipt comes first.
pub const RECEIPT_LIFE: Duration = Duration::from_secs(600);
/// Receipts that wait at once; the oldest leave first. Those of messages that others send with the same account wait, too.
pub const RECEIPTS_WAITING_MAX: usize = 10_000;
/// The longest a provider may have a message wait before it is tried again.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(7 * 24 * 3600);
/// The longest a provider may have a channel wait for its next quota: a month's.
pub const QUOTA_WAIT_MAX: Duration = Duration::from_secs(31 * 24 * 3600);
