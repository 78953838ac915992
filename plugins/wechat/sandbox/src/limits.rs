//! Every bound of the sandbox, with its name: first WeChat's own figures, then ours.

/// `wechat.md §1.1`: a token lives 7200 seconds.
pub(crate) const TOKEN_LIFE_MS: i64 = 7_200_000;
/// `wechat.md §1.1, §1.2`: old and new token both work for five minutes.
pub(crate) const TOKEN_OVERLAP_MS: i64 = 300_000;
/// `wechat.md §1.2`: two forced refreshes stand at least 30 seconds apart.
pub(crate) const FORCE_SPACING_MS: i64 = 30_000;
/// `wechat.md §2`: a form_id or prepay_id lives seven days.
pub(crate) const PERMIT_LIFE_MS: i64 = 7 * 24 * 3_600_000;
/// `wechat.md §2`: a form_id carries one message.
pub(crate) const FORM_ID_USES: u8 = 1;
/// `wechat.md §2`: a prepay_id carries three messages.
pub(crate) const PREPAY_ID_USES: u8 = 3;
/// `wechat.md §4`: the same (openid, client_msg_id) is sent once in ten minutes, with no promise after.
pub(crate) const CLIENT_MSG_ID_WINDOW_MS: i64 = 600_000;

/// An openid is 1 to 64 visible ASCII characters here; the sheet gives no figure.
pub(crate) const OPENID_BYTES_MAX: usize = 64;
/// Bodies of provider calls; a longer one is answered 45002 (`wechat.md §7`).
pub(crate) const PROVIDER_BODY_BYTES_MAX: usize = 1 << 20;
/// Bodies of control calls; a longer one is answered 400.
pub(crate) const CONTROL_BODY_BYTES_MAX: usize = 1 << 20;
/// How many permits or grants one control call may make.
pub(crate) const MINT_COUNT_MAX: u64 = 100_000;
/// How many form_ids and prepay_ids are remembered at once, used ones included.
pub(crate) const PERMITS_MAX: usize = 5_000_000;
/// How many users with a state or a grant are remembered for one app.
pub(crate) const USERS_MAX: usize = 5_000_000;
/// How many templates one user may hold grants for.
pub(crate) const GRANT_TEMPLATES_MAX: usize = 1_000;
/// How many client_msg_ids are remembered for one app; the oldest is forgotten first.
pub(crate) const CLIENT_MSG_IDS_MAX: usize = 1_000_000;
/// How many tokens are remembered before dead ones are swept.
pub(crate) const TOKENS_REMEMBERED_MAX: usize = 10_000;
/// How many deliveries the log holds unless the options say otherwise; the oldest is dropped and counted.
pub(crate) const LOG_DELIVERIES_MAX: usize = 1_000_000;
/// How many deliveries one page of the log holds at most.
pub(crate) const LOG_PAGE_MAX: usize = 10_000;
/// How many deliveries one page of the log holds when the caller names no limit.
pub(crate) const LOG_PAGE_DEFAULT: usize = 1_000;
/// How many fault rules may stand at once.
pub(crate) const FAULTS_MAX: usize = 100;
/// The longest delay a latency fault may ask for.
pub(crate) const LATENCY_MS_MAX: u64 = 600_000;
/// The body of a "huge" fault.
pub(crate) const HUGE_BODY_BYTES: usize = 10_000_000;
/// `wechat.md §5`: how long a push waits for its answer.
pub(crate) const PUSH_WAIT_MS: u64 = 5_000;
/// `wechat.md §5`: how often a push is tried in all.
pub(crate) const PUSH_TRIES: u32 = 3;
/// How many pushes are on their way at once.
pub(crate) const PUSHES_AT_ONCE_MAX: usize = 16;
/// How many pushes wait to be on their way; further ones are lost.
pub(crate) const PUSHES_WAITING_MAX: usize = 100_000;
/// How many pushes are remembered with their answers; the oldest is forgotten first.
pub(crate) const PUSHES_KEPT_MAX: usize = 10_000;
/// How many connections are served at once; further ones wait in the listen queue.
pub(crate) const CONNECTIONS_MAX: usize = 10_000;
/// How long the accept loop rests after the system refused it a socket.
pub(crate) const ACCEPT_PAUSE_MS: u64 = 50;
/// How long `stop` waits for calls under way before it closes their connections.
pub(crate) const STOP_WAIT_MS: u64 = 2_000;
/// How far one control call may move the clock, either way: a hundred years.
pub(crate) const CLOCK_STEP_SECONDS_MAX: i64 = 100 * 366 * 24 * 3_600;
