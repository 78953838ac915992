//! Commands and their flags.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand};

use tidings_engine::config::LogFormat;
use tidings_model::{Scope, Scopes};

use crate::connect::Reach;
use crate::plugin::{self, NewRole};

/// A self-hosted notification engine: one binary, one file of data, WeChat built in.
#[derive(Debug, Parser)]
#[command(version, about, max_term_width = 100, propagate_version = true)]
pub(crate) struct Args {
    /// The config file.
    #[arg(short, long, global = true, default_value = "config.toml", value_name = "FILE")]
    pub(crate) config: PathBuf,
    /// An engine elsewhere, as in http://127.0.0.1:7380; its key is read from TIDINGS_API_KEY.
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) url: Option<String>,
    /// Whom to trust beside the system's roots when the URL is https: certificates in PEM.
    #[arg(long, global = true, value_name = "FILE", requires = "url")]
    pub(crate) ca: Option<PathBuf>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Args {
    /// Where the engine is that a command asks.
    pub(crate) fn reach(&self) -> Reach {
        Reach { config: self.config.clone(), url: self.url.clone(), ca: self.ca.clone() }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// The whole thing on one machine in a temporary folder: sandbox, engine, sample traffic, screen.
    Demo(DemoArgs),
    /// The engine, by its config file.
    Run(RunArgs),
    /// What is wrong with the config: syntax, meaning, every template tried, next run of every schedule.
    Check(CheckArgs),
    /// One message, or a file of them.
    Send(SendArgs),
    /// The ledger of permits to send.
    #[command(subcommand)]
    Credentials(CredentialsCommand),
    /// How one recipient can be reached now: by template, how many sends, until when, and why not.
    Reachability(ReachabilityArgs),
    /// Messages: look and act.
    #[command(subcommand)]
    Messages(MessagesCommand),
    /// Channels: look, pause, resume.
    #[command(subcommand)]
    Channels(ChannelsCommand),
    /// Tokens: look, refresh. A refresh also sets a halted app going.
    #[command(subcommand)]
    Tokens(TokensCommand),
    /// Keys of callers: make, look, revoke.
    #[command(subcommand)]
    Keys(KeysCommand),
    /// The API as OpenAPI 3.1 describes it, for generators of clients; no engine is asked.
    Openapi,
    /// Schedules: when they run next, what became of their times; run, pause, resume, skip, backfill.
    #[command(subcommand)]
    Schedules(SchedulesCommand),
    /// Runs of schedules: look, cancel, and see beforehand whom a broadcast reaches.
    #[command(subcommand)]
    Runs(RunsCommand),
    /// Recipients who are told nothing.
    #[command(subcommand)]
    Suppressions(SuppressionsCommand),
    /// The record of changes: who did what, when, why.
    #[command(subcommand)]
    Audit(AuditCommand),
    /// What happens: what there is of it, or as it happens.
    Events(EventsArgs),
    /// Webhooks of config: how they stand, a try, going on.
    #[command(subcommand)]
    Webhooks(WebhooksCommand),
    /// The engines that share the store: their leases, what they do, and whose config differs.
    Nodes(JsonArgs),
    /// Plugins: start one, look at those that config names, prove a file.
    #[command(subcommand)]
    Plugin(PluginCommand),
    /// The running engine reads its config again: all of it, or none if anything is wrong. SIGHUP does the same.
    Reload(ReloadArgs),
    /// A consistent copy of the store in a new file, while the engine runs or when none does.
    Backup(BackupArgs),
    /// Moves a whole store from a file into an empty PostgreSQL database, and reads back what is there. No engine may have
    /// the file meanwhile, and none opens it afterwards. A move that is broken off is begun again with the same command.
    Migrate(MigrateArgs),
    /// The screen: what a running engine does, live.
    Tui,
    /// WeChat's server, simulated, for tests and demos.
    Sandbox(SandboxArgs),
}

#[derive(Debug, ClapArgs)]
pub(crate) struct DemoArgs {
    /// How many messages to send.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) messages: u32,
    /// No screen: progress, then a summary.
    #[arg(long)]
    pub(crate) headless: bool,
    /// The last line is one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

fn log_format(word: &str) -> Result<LogFormat, String> {
    LogFormat::from_word(word).ok_or_else(|| "expected text or json".to_owned())
}

#[derive(Debug, ClapArgs)]
pub(crate) struct RunArgs {
    /// Open the screen too; the log then goes to a file beside the store.
    #[arg(long)]
    pub(crate) tui: bool,
    /// Pause every channel before anything is sent, as an operator would; `tidings channels resume` lets each go on. For a
    /// store that came back from a copy: look first at what would be sent again.
    #[arg(long)]
    pub(crate) paused: bool,
    /// How the log is written: text, or json for a JSON object a line. As TIDINGS_LOG_FORMAT and `[log] format` say if not
    /// given.
    #[arg(long, value_name = "FORMAT", value_parser = log_format)]
    pub(crate) log_format: Option<LogFormat>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct CheckArgs {
    /// Ask the world, too: a token of each app, the store opened and read through, the hosts of webhooks found. Nothing is
    /// sent or changed.
    #[arg(long)]
    pub(crate) online: bool,
    /// For scripts.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct SendArgs {
    /// What is said: a template of the config.
    pub(crate) template: String,
    /// Who is told.
    #[arg(long, value_name = "RECIPIENT", required_unless_present = "file", conflicts_with = "file")]
    pub(crate) to: Option<String>,
    /// What the template is filled with; a dot makes a table: order.id=7.
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) data: Vec<String>,
    /// A CSV (with a column `to`) or NDJSON file, a message for each row.
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Not before: RFC 3339, or +10m from now.
    #[arg(long, value_name = "TIME")]
    pub(crate) at: Option<String>,
    /// Not after: RFC 3339, or +2h from now.
    #[arg(long, value_name = "TIME")]
    pub(crate) expires: Option<String>,
    /// The same key twice sends once. For a file each row's key is this and its line; without it, a file that is sent
    /// again unchanged goes on where it was.
    #[arg(long)]
    pub(crate) key: Option<String>,
    /// Check everything, send nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// For scripts: an object for each message.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum CredentialsCommand {
    /// Take one into the ledger, or a file of them.
    Add(CredentialsAddArgs),
    /// What the ledger holds, newest first. Values are never shown.
    List(CredentialsListArgs),
    /// How many people can be reached today and in a week, and what runs out when, if nothing arrives.
    Forecast(ForecastArgs),
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ForecastArgs {
    /// With this template, and day by day. All of them if not given.
    pub(crate) template: Option<String>,
    /// For scripts.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ReachabilityArgs {
    /// Who: an openid, an address.
    pub(crate) recipient: String,
    /// With this template. All of them if not given.
    #[arg(long)]
    pub(crate) template: Option<String>,
    /// For scripts.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct CredentialsAddArgs {
    /// Their source, as in wechat.form_id.
    pub(crate) source: String,
    /// The fields, as the mini-program posts them: form_id=… openId=…
    #[arg(value_name = "FIELD=VALUE", required_unless_present = "file")]
    pub(crate) fields: Vec<String>,
    /// The app they are for, if several take this source.
    #[arg(long)]
    pub(crate) app: Option<String>,
    /// An NDJSON file, an object for each credential.
    #[arg(long, value_name = "FILE", conflicts_with = "fields")]
    pub(crate) file: Option<PathBuf>,
    /// For scripts.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct CredentialsListArgs {
    /// Of this source.
    #[arg(long)]
    pub(crate) source: Option<String>,
    /// Of this recipient.
    #[arg(long)]
    pub(crate) recipient: Option<String>,
    /// Only those that could be used.
    #[arg(long)]
    pub(crate) usable: bool,
    #[command(flatten)]
    pub(crate) page: PageArgs,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct PageArgs {
    /// At most so many rows.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=250))]
    pub(crate) limit: u32,
    /// Go on from there: what the last page said.
    #[arg(long)]
    pub(crate) cursor: Option<String>,
    /// For scripts.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum MessagesCommand {
    /// Messages, newest first.
    List(MessagesListArgs),
    /// One message, with its data and attempts.
    Show(MessageArgs),
    /// What was not sent, counted by channel, state, reason and template.
    Reasons(MessagesReasonsArgs),
    /// Send failed, unknown, expired, cancelled or held ones again: some by their ids, or all of a state at a rate.
    Retry(MessagesRetryArgs),
    /// Withdraw ones that are not on their way yet: some by their ids, or all of a filter.
    Cancel(MessagesActArgs),
    /// Stop ones that are not on their way yet, until they are released.
    Hold(MessagesActArgs),
    /// Let held ones go on.
    Release(MessagesActArgs),
}

#[derive(Debug, ClapArgs)]
pub(crate) struct MessagesListArgs {
    /// In this state: scheduled, queued, waiting, sending, held, sent, delivered, failed, unknown, expired, cancelled.
    #[arg(long)]
    pub(crate) state: Option<String>,
    /// There for this reason, as `messages reasons` shows it.
    #[arg(long, requires = "state")]
    pub(crate) reason: Option<String>,
    /// Of this channel.
    #[arg(long)]
    pub(crate) channel: Option<String>,
    /// Of this template.
    #[arg(long)]
    pub(crate) template: Option<String>,
    /// For this recipient.
    #[arg(long, value_name = "RECIPIENT")]
    pub(crate) to: Option<String>,
    /// Made by this run, as in run_42.
    #[arg(long)]
    pub(crate) run: Option<String>,
    /// Accepted at this time or later: RFC 3339, or how long ago, as in 2h.
    #[arg(long, value_name = "TIME")]
    pub(crate) newer_than: Option<String>,
    /// Accepted before this time: RFC 3339, or how long ago, as in 2h.
    #[arg(long, value_name = "TIME")]
    pub(crate) older_than: Option<String>,
    #[command(flatten)]
    pub(crate) page: PageArgs,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct MessagesReasonsArgs {
    /// In this state: held, failed, unknown, expired or cancelled. The first three if not given.
    #[arg(long)]
    pub(crate) state: Option<String>,
    /// Of this channel.
    #[arg(long)]
    pub(crate) channel: Option<String>,
    /// For scripts.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct MessageArgs {
    /// The message, as in msg_42.
    pub(crate) id: String,
    /// For scripts.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct MessagesActArgs {
    /// The messages, as in msg_42.
    #[arg(
        required_unless_present_any = ["state", "channel", "template", "to", "reason", "run", "newer_than", "older_than"],
        conflicts_with_all = ["state", "channel", "template", "to", "reason", "run", "newer_than", "older_than", "yes"]
    )]
    pub(crate) ids: Vec<String>,
    /// All in this state. Without --yes it is only told what would be done.
    #[arg(long)]
    pub(crate) state: Option<String>,
    /// All of this channel.
    #[arg(long)]
    pub(crate) channel: Option<String>,
    /// All of this template.
    #[arg(long)]
    pub(crate) template: Option<String>,
    /// All for this recipient.
    #[arg(long, value_name = "RECIPIENT")]
    pub(crate) to: Option<String>,
    /// All that stand there for this reason, as `messages reasons` shows it.
    #[arg(long)]
    pub(crate) reason: Option<String>,
    /// All that this run made, as in run_42.
    #[arg(long)]
    pub(crate) run: Option<String>,
    /// Accepted at this time or later: RFC 3339, or how long ago, as in 2h.
    #[arg(long, value_name = "TIME")]
    pub(crate) newer_than: Option<String>,
    /// Accepted before this time: RFC 3339, or how long ago, as in 2h.
    #[arg(long, value_name = "TIME")]
    pub(crate) older_than: Option<String>,
    /// Do it.
    #[arg(long)]
    pub(crate) yes: bool,
    /// Why, for the record.
    #[arg(long)]
    pub(crate) note: Option<String>,
    /// For scripts.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct MessagesRetryArgs {
    #[command(flatten)]
    pub(crate) act: MessagesActArgs,
    /// How fast they go, one after the other [default: 50/s]
    #[arg(long, requires = "state")]
    pub(crate) rate: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ChannelsCommand {
    /// The channels with their counts.
    List(JsonArgs),
    /// Claim nothing more; what is on its way goes on.
    Pause(ChannelActArgs),
    /// Go on, now.
    Resume(ChannelActArgs),
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ChannelActArgs {
    /// The channel.
    pub(crate) name: String,
    /// Why, for the record.
    #[arg(long)]
    pub(crate) reason: Option<String>,
    /// For scripts.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum WebhooksCommand {
    /// The webhooks, what waits for them, and what is wrong.
    List(JsonArgs),
    /// Set one going again that was disabled: what waits for it is told now.
    Resume(WebhookResumeArgs),
    /// Post one notice that says nothing, once.
    Test(WebhookTestArgs),
}

#[derive(Debug, ClapArgs)]
pub(crate) struct WebhookResumeArgs {
    /// The webhook.
    pub(crate) name: String,
    /// Why, for the record.
    #[arg(long)]
    pub(crate) reason: Option<String>,
    /// For scripts.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct WebhookTestArgs {
    /// The webhook.
    pub(crate) name: String,
    /// For scripts.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct EventsArgs {
    /// Go on as it happens, also when the engine is started anew. Without it: the last that is there, then the end.
    #[arg(long)]
    pub(crate) follow: bool,
    /// Only these kinds, as in message.failed or channel.*; more than once, or with commas.
    #[arg(long = "type", value_name = "TYPE", value_delimiter = ',')]
    pub(crate) types: Vec<String>,
    /// Only what happens to this channel and its messages; more than once, or with commas.
    #[arg(long, value_delimiter = ',')]
    pub(crate) channel: Vec<String>,
    /// Say who is told, and what the provider said: personal.
    #[arg(long)]
    pub(crate) full: bool,
    /// Go on behind this place: what an earlier call ended with.
    #[arg(long, value_name = "PLACE")]
    pub(crate) after: Option<String>,
    /// For scripts: an object for each event, as webhooks get it.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TokensCommand {
    /// Tokens by app: how long they last, fetches today. The tokens themselves are never shown.
    List(JsonArgs),
    /// Fetch one now.
    Refresh(TokenRefreshArgs),
}

#[derive(Debug, ClapArgs)]
pub(crate) struct TokenRefreshArgs {
    /// The app.
    pub(crate) app: String,
    /// Why, for the record.
    #[arg(long)]
    pub(crate) reason: Option<String>,
    /// For scripts.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    /// Make one. It is printed this once: only what it hashes to is kept.
    Add(KeyAddArgs),
    /// What each key is for, who made it, how long it lasts. The keys themselves are never shown.
    List(JsonArgs),
    /// Make one as good as none, at once.
    Revoke(KeyRevokeArgs),
}

#[derive(Debug, ClapArgs)]
pub(crate) struct KeyAddArgs {
    /// What the caller is called from now on.
    pub(crate) name: String,
    /// What it is for: send, collect, read, operate; several with commas between them.
    #[arg(long, value_name = "SCOPES", value_delimiter = ',', required = true, value_parser = scope)]
    pub(crate) scope: Vec<Scope>,
    /// How long it lasts, as in 90d, or until when: RFC 3339. For good if not given.
    #[arg(long, value_name = "TIME")]
    pub(crate) expires: Option<String>,
    /// For scripts.
    #[arg(long)]
    pub(crate) json: bool,
}

fn scope(word: &str) -> Result<Scope, String> {
    Scope::from_name(word).ok_or_else(|| format!("no scope; there are: {}", Scopes::ALL))
}

#[derive(Debug, ClapArgs)]
pub(crate) struct KeyRevokeArgs {
    /// The key's name.
    pub(crate) name: String,
    /// Why, for the record.
    #[arg(long)]
    pub(crate) reason: Option<String>,
    /// For scripts.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ListCommand {
    /// All of them.
    List(JsonArgs),
}

#[derive(Debug, Subcommand)]
pub(crate) enum SchedulesCommand {
    /// All of them.
    List(ScheduleListArgs),
    /// When one fires next: in its zone, and here.
    Next(ScheduleNextArgs),
    /// One of them, with what became of each of its times.
    Show(ScheduleShowArgs),
    /// Run it now, paused or not.
    Run(ScheduleRunArgs),
    /// Run it no more until it is resumed; what runs goes on.
    Pause(ScheduleActArgs),
    /// Go on from now; what passed meanwhile does not run.
    Resume(ScheduleActArgs),
    /// Leave its next times out.
    Skip(ScheduleSkipArgs),
    /// Run times of the past that did not run, one after the other. Without --yes, only say which.
    Backfill(ScheduleBackfillArgs),
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ScheduleListArgs {
    /// For scripts.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ScheduleNextArgs {
    /// The schedule.
    pub(crate) name: String,
    /// How many times.
    #[arg(short = 'n', long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) count: u32,
    /// For scripts.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ScheduleShowArgs {
    /// The schedule.
    pub(crate) name: String,
    /// How many next times.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(0..=100))]
    pub(crate) next: u32,
    #[command(flatten)]
    pub(crate) page: PageArgs,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ScheduleRunArgs {
    #[command(flatten)]
    pub(crate) act: ScheduleActArgs,
    /// Only say whom its broadcast would reach now, and why not the others: nothing is sent, spent or written.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ScheduleActArgs {
    /// The schedule.
    pub(crate) name: String,
    /// Why, for the record.
    #[arg(long)]
    pub(crate) reason: Option<String>,
    /// For scripts.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ScheduleSkipArgs {
    /// The schedule.
    pub(crate) name: String,
    /// How many of its next times, whatever was said before; 0 leaves none out.
    #[arg(short = 'n', long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(0..=1000))]
    pub(crate) count: u32,
    /// Why, for the record.
    #[arg(long)]
    pub(crate) reason: Option<String>,
    /// For scripts.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ScheduleBackfillArgs {
    /// The schedule.
    pub(crate) name: String,
    /// From this time on: RFC 3339, or how long ago, as in 2h.
    #[arg(long, value_name = "TIME", required_unless_present = "stop")]
    pub(crate) from: Option<String>,
    /// Up to this time, and with it [default: now].
    #[arg(long, value_name = "TIME")]
    pub(crate) to: Option<String>,
    /// Do it.
    #[arg(long)]
    pub(crate) yes: bool,
    /// Stop the one that goes on.
    #[arg(long, conflicts_with_all = ["from", "to", "yes"])]
    pub(crate) stop: bool,
    /// Why, for the record.
    #[arg(long)]
    pub(crate) reason: Option<String>,
    /// For scripts.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RunsCommand {
    /// Newest first.
    List(RunsListArgs),
    /// One run: how far it is, what became of its rows, and its log.
    Show(RunShowArgs),
    /// End running ones: nothing more of them is accepted. What was accepted goes on.
    Cancel(RunsCancelArgs),
    /// Whom a schedule's broadcast would reach now, and why not the others. Nothing is sent, spent or written.
    Preflight(RunsPreflightArgs),
}

#[derive(Debug, ClapArgs)]
pub(crate) struct RunShowArgs {
    /// The run, as in run_42.
    pub(crate) id: String,
    /// Go on until it ends; fails if the run does.
    #[arg(long)]
    pub(crate) follow: bool,
    /// For scripts; with --follow an object for each line of its log, and the run at the end.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct RunsCancelArgs {
    /// The runs, as in run_42.
    #[arg(required = true)]
    pub(crate) ids: Vec<String>,
    /// Why, for the record.
    #[arg(long)]
    pub(crate) reason: Option<String>,
    /// For scripts.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct RunsPreflightArgs {
    /// The schedule.
    pub(crate) schedule: String,
    /// For scripts.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct RunsListArgs {
    /// Of this schedule.
    #[arg(long)]
    pub(crate) schedule: Option<String>,
    /// Standing there: running, done, failed, cancelled, interrupted.
    #[arg(long)]
    pub(crate) state: Option<String>,
    #[command(flatten)]
    pub(crate) page: PageArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SuppressionsCommand {
    /// In the order of apps and recipients.
    List(SuppressionsListArgs),
    /// Tell this one nothing, and withdraw what is not on its way yet.
    Add(SuppressionAddArgs),
    /// Tell this one again.
    Remove(SuppressionRemoveArgs),
}

#[derive(Debug, ClapArgs)]
pub(crate) struct SuppressionsListArgs {
    /// Of this app.
    #[arg(long)]
    pub(crate) app: Option<String>,
    /// This recipient alone.
    #[arg(long)]
    pub(crate) recipient: Option<String>,
    #[command(flatten)]
    pub(crate) page: PageArgs,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct SuppressionAddArgs {
    /// The app.
    pub(crate) app: String,
    /// Who.
    pub(crate) recipient: String,
    /// Why, for the list and the record.
    #[arg(long)]
    pub(crate) reason: Option<String>,
    /// Until when: RFC 3339, or +30d from now; for good if not given.
    #[arg(long, value_name = "TIME")]
    pub(crate) expires: Option<String>,
    /// For scripts.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct SuppressionRemoveArgs {
    /// The app.
    pub(crate) app: String,
    /// Who.
    pub(crate) recipient: String,
    /// Why, for the record.
    #[arg(long)]
    pub(crate) reason: Option<String>,
    /// For scripts.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Newest first.
    List(AuditListArgs),
}

#[derive(Debug, ClapArgs)]
pub(crate) struct AuditListArgs {
    /// By this one: a key's name, or local, as in 'local (alice)'.
    #[arg(long)]
    pub(crate) who: Option<String>,
    /// Of this act, as in message.cancel; message stands for all of them.
    #[arg(long)]
    pub(crate) act: Option<String>,
    /// On this subject: a message, a channel, an app.
    #[arg(long)]
    pub(crate) subject: Option<String>,
    /// Not before: RFC 3339, or how long ago, as in 2h.
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    #[command(flatten)]
    pub(crate) page: PageArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PluginCommand {
    /// A folder with a plugin that builds, passes its own test, and can be run.
    New(PluginNewArgs),
    /// Those that config names, and those that are built in. Nothing of a file is run.
    List(JsonArgs),
    /// Try a file: a verdict for each thing that Tidings relies on.
    #[command(after_help = plugin::rules())]
    Check(PluginCheckArgs),
    /// One rule in this process, for `check`.
    #[command(hide = true)]
    CheckRule(PluginCheckRuleArgs),
}

#[derive(Debug, ClapArgs)]
pub(crate) struct PluginNewArgs {
    /// Its name: a letter, then a-z, 0-9 and -, at most 31. The folder is called the same.
    pub(crate) name: String,
    /// What it is to do.
    #[arg(long)]
    pub(crate) role: NewRole,
    /// A checkout of Tidings whose SDK it is built with. Without this, the SDK's sources are taken along.
    #[arg(long, value_name = "PATH")]
    pub(crate) sdk: Option<PathBuf>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct PluginCheckArgs {
    /// The plugin file.
    pub(crate) file: PathBuf,
    /// Only rules with this in their names, as in transport.
    #[arg(long, value_name = "PATTERN")]
    pub(crate) only: Option<String>,
    /// A TOML file with values that fit better than invented ones: tables app, template, credential; a text recipient.
    #[arg(long, value_name = "FILE")]
    pub(crate) values: Option<PathBuf>,
    /// For repeating a run: the same garbage comes again.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// In this very process, for a debugger: a crash is its end.
    #[arg(long)]
    pub(crate) in_process: bool,
    /// For scripts: an object for each rule, and one for all of them.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct PluginCheckRuleArgs {
    pub(crate) rule: String,
    pub(crate) file: PathBuf,
    #[arg(long)]
    pub(crate) values: Option<PathBuf>,
    #[arg(long)]
    pub(crate) seed: u64,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct JsonArgs {
    /// For scripts.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ReloadArgs {
    /// Only say what differs.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Why, for the record.
    #[arg(long)]
    pub(crate) reason: Option<String>,
    /// For scripts.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct BackupArgs {
    /// The file to make. Only its owner can read it; a file that is there is never written over.
    pub(crate) file: PathBuf,
    /// For scripts.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(ClapArgs)]
pub(crate) struct MigrateArgs {
    /// The store to move: sqlite://FILE.
    #[arg(long, value_name = "URL")]
    pub(crate) from: String,
    /// Where to: postgres://USER@HOST/DATABASE, which is empty.
    #[arg(long, value_name = "URL", required_unless_present = "forget_move")]
    pub(crate) to: Option<String>,
    /// Moves nothing: takes from the file the mark that it was moved, so that engines open it again. What was done in the
    /// database since is not in it, and what waited in it is sent again: stop every engine on the database before.
    #[arg(long, conflicts_with = "to")]
    pub(crate) forget_move: bool,
    /// For scripts: the tables, their rows and sums; or whether there was a mark.
    #[arg(long)]
    pub(crate) json: bool,
}

impl std::fmt::Debug for MigrateArgs {
    /// An address may have a password in it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MigrateArgs").finish_non_exhaustive()
    }
}

#[derive(Debug, ClapArgs)]
pub(crate) struct SandboxArgs {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:7390", value_name = "ADDRESS")]
    pub(crate) listen: SocketAddr,
    /// A TOML file of faults: see the sandbox's README.
    #[arg(long, value_name = "FILE")]
    pub(crate) faults: Option<PathBuf>,
    /// For repeating a run: faults strike the same calls again.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Where to push events: `http://127.0.0.1:7380/callbacks/shop`.
    #[arg(long, value_name = "URL", requires = "callback_token")]
    pub(crate) callback: Option<String>,
    /// What pushes are signed with: the app's `callback_token`.
    #[arg(long, value_name = "TOKEN", requires = "callback")]
    pub(crate) callback_token: Option<String>,
    /// What pushes are encrypted with: the app's `callback_key`; without one they are plain.
    #[arg(long, value_name = "KEY", requires = "callback")]
    pub(crate) callback_key: Option<String>,
}
