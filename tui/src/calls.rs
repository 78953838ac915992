//! What is asked of an engine and what it answers, as values: the screen says what it wants, and whoever calls (or plays
//! the engine in a test) gives it.

use std::sync::Arc;
use std::time::Duration;

use tidings_api::client::{Client, ClientError};
use tidings_api::wire::{self, BackfillRequest, BulkRequest, Hello, Overview, Reachability, SkipRequest};

use crate::acts::{Act, Place, Plan, Step, Timing};
use crate::filter::Filter;

/// Rows asked for at once.
pub(crate) const PAGE_ROWS: u32 = 100;

/// How long an answer may take.
pub(crate) const ANSWER_MAX: Duration = Duration::from_secs(5);
/// How long it may take to walk an audience: a little longer than the engine gives itself.
const PREFLIGHT_MAX: Duration = Duration::from_secs(660);
/// Next times that are asked for of each schedule.
const NEXT_TIMES: u32 = 10;
/// Lines of a log asked for at once.
const LOG_LINES: u32 = 250;
/// Pages of a log that are read: the engine keeps a thousand lines.
const LOG_PAGES_MAX: u32 = 4;

/// A question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Request {
    /// Everything an operator looks at first.
    Overview,
    /// Who we are, and what we may do.
    Hello,
    /// A page of messages.
    Messages {
        /// Which.
        filter: Filter,
        /// Only those accepted before this, so that the list does not move.
        pin: Option<String>,
        /// After the page that gave this.
        cursor: Option<String>,
    },
    /// What stopped in a channel, by why.
    Reasons {
        /// Which.
        channel: String,
    },
    /// Whom the credentials reach, by template.
    Forecast,
    /// The tokens.
    Tokens,
    /// The schedules, with their next times and their last verdicts.
    Schedules,
    /// A page of runs.
    Runs {
        /// Which.
        filter: Filter,
        /// After the page that gave this.
        cursor: Option<String>,
    },
    /// One run, with its log.
    Run {
        /// Which.
        id: String,
    },
    /// The plugins.
    Plugins,
    /// A page of the record of changes.
    Audit {
        /// Which.
        filter: Filter,
        /// After the page that gave this.
        cursor: Option<String>,
    },
    /// The webhooks.
    Webhooks,
    /// The engines that share the store.
    Nodes,
    /// Whom a schedule's broadcast would reach.
    Preflight {
        /// Whose.
        schedule: String,
    },
    /// One message, and how its recipient can be reached while it is still to be sent.
    Message {
        /// Which.
        id: String,
    },
}

impl Request {
    /// How long its answer may take. The client itself would wait longer than an operator does.
    pub(crate) fn answer_max(&self) -> Duration {
        match self {
            // The engine walks the whole audience, and says itself when that takes too long.
            Request::Preflight { .. } => PREFLIGHT_MAX,
            _ => ANSWER_MAX,
        }
    }

    /// Between two askings where nothing says that something changed.
    pub(crate) fn period(&self) -> Duration {
        Duration::from_secs(match self {
            Request::Overview => 1,
            Request::Hello => 30,
            Request::Tokens | Request::Run { .. } | Request::Nodes => 2,
            Request::Messages { .. } | Request::Message { .. } | Request::Reasons { .. } => 5,
            Request::Schedules | Request::Runs { .. } | Request::Plugins | Request::Audit { .. } => 5,
            Request::Webhooks | Request::Preflight { .. } => 5,
            // The engine reckons it a few times a minute.
            Request::Forecast => 15,
        })
    }
}

/// An answer.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    /// To [`Request::Overview`].
    Overview(Arc<Overview>),
    /// To [`Request::Hello`].
    Hello(Hello),
    /// To [`Request::Messages`].
    Messages(wire::Page<wire::Message>),
    /// To [`Request::Reasons`].
    Reasons(Vec<wire::Reason>),
    /// To [`Request::Forecast`].
    Forecast(wire::Forecasts),
    /// To [`Request::Tokens`].
    Tokens(Vec<wire::Token>),
    /// To [`Request::Schedules`].
    Schedules(Vec<wire::Schedule>),
    /// To [`Request::Runs`].
    Runs(wire::Page<wire::Run>),
    /// To [`Request::Run`].
    Run(Box<wire::RunDetail>),
    /// To [`Request::Plugins`].
    Plugins(Vec<wire::Plugin>),
    /// To [`Request::Audit`].
    Audit(wire::Page<wire::AuditEntry>),
    /// To [`Request::Webhooks`].
    Webhooks(Vec<wire::Webhook>),
    /// To [`Request::Nodes`].
    Nodes(Vec<wire::Node>),
    /// To [`Request::Preflight`].
    Preflight(Box<wire::Preflight>),
    /// To [`Request::Message`].
    Message(Box<wire::Message>, Option<Box<Reachability>>),
}

/// Why a call came to nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// Nobody answers.
    Unreachable,
    /// The engine says no, and why.
    Refused(String),
    /// Somebody else answered: what came.
    Foreign(String),
    /// No answer in time.
    Slow,
}

/// Where answers come from.
pub(crate) trait Source: Send + Sync + 'static {
    /// Asks.
    fn ask(&self, request: &Request) -> impl Future<Output = Result<Answer, Trouble>> + Send;

    /// Waits until something happens in the engine. Tells once that it listens.
    fn listen(&self, listening: impl FnOnce() + Send) -> impl Future<Output = Result<(), Trouble>> + Send;

    /// What an act would do that is for what the engine finds.
    fn plan(&self, act: &Act) -> impl Future<Output = Result<Plan, Trouble>> + Send;

    /// Carries an act out, from there on, as far as one call goes.
    fn carry_out(
        &self,
        act: &Act,
        reason: Option<&str>,
        place: &Place,
    ) -> impl Future<Output = Result<Step, Trouble>> + Send;
}

impl Source for Client {
    async fn ask(&self, request: &Request) -> Result<Answer, Trouble> {
        let answer = match request {
            Request::Overview => Answer::Overview(Arc::new(self.overview().await?)),
            Request::Hello => Answer::Hello(self.hello().await?),
            Request::Messages { filter, pin, cursor } => {
                let mut query = filter.query();
                // The list is pinned at a time that is no later than the filter's own.
                if let Some(pin) = pin {
                    query.retain(|(name, _)| *name != "older_than");
                    query.push(("older_than", pin.clone()));
                }
                query.push(("limit", PAGE_ROWS.to_string()));
                query.extend(cursor.iter().map(|cursor| ("cursor", cursor.clone())));
                Answer::Messages(self.messages(&query).await?)
            }
            Request::Reasons { channel } => Answer::Reasons(self.reasons(&[("channel", channel.clone())]).await?.items),
            Request::Forecast => Answer::Forecast(self.forecast(None).await?),
            Request::Tokens => Answer::Tokens(self.tokens().await?),
            Request::Schedules => Answer::Schedules(self.schedules(NEXT_TIMES).await?),
            Request::Runs { filter, cursor } => Answer::Runs(self.runs(&page_of(filter, cursor)).await?),
            Request::Run { id } => Answer::Run(Box::new(run_with_log(self, id).await?)),
            Request::Plugins => Answer::Plugins(self.plugins().await?),
            Request::Audit { filter, cursor } => Answer::Audit(self.audit(&page_of(filter, cursor)).await?),
            Request::Webhooks => Answer::Webhooks(self.webhooks().await?),
            Request::Nodes => Answer::Nodes(self.nodes().await?),
            Request::Preflight { schedule } => Answer::Preflight(Box::new(self.preflight(schedule).await?)),
            Request::Message { id } => {
                let message = self.message(id).await?;
                let is_ahead = matches!(message.state.as_str(), "scheduled" | "queued" | "waiting" | "held");
                // A template that left config is no reason to show no message.
                let reach = match is_ahead {
                    true => self.reachability(&message.to, Some(&message.template)).await.ok().map(Box::new),
                    false => None,
                };
                Answer::Message(Box::new(message), reach)
            }
        };
        Ok(answer)
    }

    async fn listen(&self, listening: impl FnOnce() + Send) -> Result<(), Trouble> {
        let mut stream = self.events(&[], None).await?;
        listening();
        stream.next().await?;
        Ok(())
    }

    async fn plan(&self, act: &Act) -> Result<Plan, Trouble> {
        match act {
            Act::Matching { deed, filter } => {
                let request = BulkRequest { filter: filter.bulk(), ..BulkRequest::default() };
                Ok(self.plan_for_many(deed.name(), &request).await?.into())
            }
            Act::Backfill { name, from, to } => {
                Ok(self.backfill_schedule(name, &backfill(from, to, true, None)).await?.into())
            }
            _ => Err(Trouble::Refused("this act needs no plan".to_owned())),
        }
    }

    async fn carry_out(&self, act: &Act, reason: Option<&str>, place: &Place) -> Result<Step, Trouble> {
        let reason = reason.map(str::to_owned);
        match act {
            Act::Messages { deed, ids } => {
                let index = place.index();
                let Some(id) = ids.get(index) else { return Ok(Step::default()) };
                let left = ids.len() - index - 1;
                let next = (left > 0).then_some(Place::Index(index + 1));
                let left = u64::try_from(left).unwrap_or(u64::MAX);
                match self.act(id, deed.name(), reason).await.map_err(Trouble::from) {
                    Ok(_) => Ok(Step { moved: 1, left, next, ..Step::default() }),
                    // One that is somewhere else by now stops none of the others.
                    Err(Trouble::Refused(why)) => Ok(Step { refused: Some(why), left, next, ..Step::default() }),
                    Err(trouble) => Err(trouble),
                }
            }
            Act::Matching { deed, filter } => {
                let cursor = match place {
                    Place::Cursor(cursor) => Some(cursor.clone()),
                    Place::Index(_) => None,
                };
                let request = BulkRequest { filter: filter.bulk(), note: reason, cursor, ..BulkRequest::default() };
                let reply = self.act_on_many(deed.name(), &request).await?;
                Ok(Step {
                    moved: reply.moved,
                    passed_over: reply.passed_over,
                    left: reply.left,
                    next: reply.next.map(Place::Cursor),
                    refused: None,
                })
            }
            Act::Token { app } => {
                self.refresh_token(app, reason).await?;
                Ok(Step { moved: 1, ..Step::default() })
            }
            Act::Schedule { timing, name } => {
                match timing {
                    Timing::Run => self.run_schedule(name, reason).await.map(|_| ())?,
                    Timing::Pause => self.act_on_schedule(name, "pause", reason).await.map(|_| ())?,
                    Timing::Resume => self.act_on_schedule(name, "resume", reason).await.map(|_| ())?,
                    Timing::Skip | Timing::Unskip => {
                        let count = u32::from(*timing == Timing::Skip);
                        self.skip_schedule(name, &SkipRequest { count, reason }).await.map(|_| ())?;
                    }
                    Timing::EndBackfill => self.act_on_schedule(name, "backfill/stop", reason).await.map(|_| ())?,
                }
                Ok(Step { moved: 1, ..Step::default() })
            }
            Act::Backfill { name, from, to } => {
                let begun = self.backfill_schedule(name, &backfill(from, to, false, reason)).await?;
                Ok(Step { moved: begun.times.saturating_sub(begun.ran), ..Step::default() })
            }
            Act::Webhook { test: false, name } => {
                self.resume_webhook(name, reason).await?;
                Ok(Step { moved: 1, ..Step::default() })
            }
            Act::Webhook { test: true, name } => {
                let tested = self.test_webhook(name).await?;
                let refused = (!tested.taken).then_some(tested.answer);
                Ok(Step { moved: u64::from(tested.taken), refused, ..Step::default() })
            }
            Act::Run { id } => {
                self.cancel_run(id, reason).await?;
                Ok(Step { moved: 1, ..Step::default() })
            }
            Act::Credential(credential) => {
                let app = Some(credential.app.as_str()).filter(|app| !app.is_empty());
                let fields = credential.fields.pairs().into_iter().collect();
                let reply = self.add_credentials(&credential.source, app, &[fields]).await?;
                let refused = reply.items.into_iter().find_map(|item| item.refused);
                Ok(Step { moved: reply.accepted, refused, ..Step::default() })
            }
            Act::Channel { pause, name } => {
                self.act_on_channel(name, if *pause { "pause" } else { "resume" }, reason).await?;
                Ok(Step { moved: 1, ..Step::default() })
            }
        }
    }
}

/// The times of the past that a schedule is to run.
fn backfill(from: &str, to: &str, plan: bool, reason: Option<String>) -> BackfillRequest {
    let to = Some(to.to_owned()).filter(|to| !to.is_empty());
    BackfillRequest { from: from.to_owned(), to, plan, reason }
}

/// The query of a page of a list.
fn page_of(filter: &Filter, cursor: &Option<String>) -> Vec<(&'static str, String)> {
    let mut query = filter.query();
    query.push(("limit", PAGE_ROWS.to_string()));
    query.extend(cursor.iter().map(|cursor| ("cursor", cursor.clone())));
    query
}

/// A run with all of its log that is kept.
async fn run_with_log(client: &Client, id: &str) -> Result<wire::RunDetail, ClientError> {
    let query = |cursor: Option<String>| {
        let mut query = vec![("limit", LOG_LINES.to_string())];
        query.extend(cursor.map(|cursor| ("cursor", cursor)));
        query
    };
    let mut detail = client.run(id, &query(None)).await?;
    for _ in 1..LOG_PAGES_MAX {
        let Some(cursor) = detail.next.take() else { break };
        let more = client.run(id, &query(Some(cursor))).await?;
        detail.log.extend(more.log);
        detail.next = more.next;
    }
    Ok(detail)
}

impl From<ClientError> for Trouble {
    fn from(error: ClientError) -> Trouble {
        match error {
            ClientError::Unreachable { .. } => Trouble::Unreachable,
            ClientError::Refused(problem) => Trouble::Refused(problem.detail),
            ClientError::Foreign { found, .. } => Trouble::Foreign(found),
        }
    }
}
