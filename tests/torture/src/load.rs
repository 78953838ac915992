//! Mixed load by several clients and an operator, as good citizens: whoever gets no answer sends the same key again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};
use tidings_api::client::{Client, ClientError};
use tidings_api::wire::{BulkLine, SendReply, SendRequest};
use tidings_wechat_sandbox::{Control, ControlError, DEFAULT_APPID, UserState};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::instant::rfc3339;
use crate::lane::Lane;
use crate::ledger::Ledger;
use crate::random::Random;
use crate::report::Report;
use crate::trouble::{Outcome, Trouble};
use crate::world::World;

/// Between two tries of an unanswered request.
const AGAIN: Duration = Duration::from_millis(8);
/// How long the last requests may take to be answered by an engine that runs.
const FINISHES_WITHIN: Duration = Duration::from_secs(20);
/// Messages that share a recipient, so that they compete for his credentials.
const SHARE: u64 = 3;
/// Messages that one request of a bulk client has at most.
const BULK_MAX: u64 = 24;

/// How much is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Appetite {
    pub(crate) clients: u32,
    /// The longest pause of a client between two requests.
    pub(crate) pause_ms: u64,
    /// Bytes of data beside what is said, so that a store fills.
    pub(crate) padding: usize,
    /// Whether an operator holds, cancels and retries.
    pub(crate) operator: bool,
}

/// The load, until it is told to finish.
pub(crate) struct Load {
    stop: watch::Sender<bool>,
    clients: Vec<JoinHandle<Outcome>>,
}

impl Load {
    pub(crate) fn start(world: &World, appetite: Appetite, random: &mut Random) -> Load {
        let (stop, stopped) = watch::channel(false);
        let numbers = Arc::new(AtomicU64::new(u64::try_from(world.ledger.look().entries.len()).unwrap_or(0)));
        let everybody =
            world.shared.as_ref().map_or_else(|| vec![world.client.clone()], |shared| shared.clients.clone());
        let caller = |mut random: Random| Caller {
            client: everybody[usize::try_from(random.between(0, everybody.len() as u64)).unwrap_or(0)].clone(),
            control: world.control().clone(),
            ledger: Arc::clone(&world.ledger),
            numbers: Arc::clone(&numbers),
            appetite,
            stopped: stopped.clone(),
            random,
        };
        let mut clients: Vec<_> =
            (0..appetite.clients).map(|_| tokio::spawn(caller(random.fork()).send_messages())).collect();
        if appetite.operator {
            clients.push(tokio::spawn(caller(random.fork()).operate()));
        }
        Load { stop, clients }
    }

    /// No new requests; those that have no answer yet are asked until they have one. The engine must run.
    pub(crate) async fn finish(self, report: &mut Report) -> Outcome {
        self.stop.send_replace(true);
        let deadline = tokio::time::Instant::now() + FINISHES_WITHIN;
        for mut client in self.clients {
            match tokio::time::timeout_at(deadline, &mut client).await {
                Ok(ended) => ended??,
                Err(_) => {
                    client.abort();
                    report.broken(format!("a client still has no answer after {FINISHES_WITHIN:?}"));
                }
            }
        }
        Ok(())
    }

    /// Ends it at once, with requests unanswered: for runs that are over.
    pub(crate) fn abandon(self) {
        for client in self.clients {
            client.abort();
        }
    }
}

/// Waits before the same is asked again, and as long as nobody is to ask anything.
async fn again(ledger: &Ledger) {
    tokio::time::sleep(AGAIN).await;
    while ledger.look().hushed {
        tokio::time::sleep(AGAIN).await;
    }
}

/// One client.
struct Caller {
    client: Client,
    control: Control,
    ledger: Arc<Ledger>,
    numbers: Arc<AtomicU64>,
    appetite: Appetite,
    stopped: watch::Receiver<bool>,
    random: Random,
}

/// A request and its place in the ledger.
struct Wanted {
    number: usize,
    lane: Lane,
    to: String,
    request: SendRequest,
}

impl Caller {
    fn is_stopped(&self) -> bool {
        *self.stopped.borrow()
    }

    async fn pause(&mut self) {
        let pause = Duration::from_millis(self.random.between(0, self.appetite.pause_ms + 1));
        tokio::time::sleep(pause).await;
    }

    async fn send_messages(mut self) -> Outcome {
        while !self.is_stopped() {
            let count = if self.random.percent(30) { self.random.between(2, BULK_MAX) } else { 1 };
            let mut wanted = Vec::new();
            for _ in 0..count {
                wanted.push(self.wanted()?);
            }
            let permits_first = self.random.percent(70);
            if permits_first {
                self.post_permits(&wanted).await?;
            }
            self.send(&wanted).await;
            if self.random.percent(3) {
                // As somebody does whose answer came and was forgotten.
                self.send(&wanted).await;
            }
            if !permits_first {
                self.pause().await;
                self.post_permits(&wanted).await?;
            }
            self.pause().await;
        }
        Ok(())
    }

    fn wanted(&mut self) -> Outcome<Wanted> {
        const LANES: [Lane; 8] = [
            Lane::Forms,
            Lane::Forms,
            Lane::Forms,
            Lane::Service,
            Lane::Service,
            Lane::Grants,
            Lane::GrantsAgain,
            Lane::Payments,
        ];
        let lane = LANES[self.random.index(LANES.len())];
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let order = format!("{}-{number:07}", lane.name());
        let mut to = format!("o-{}", number / SHARE);
        if lane == Lane::Service && self.random.percent(6) {
            to = format!("o-gone-{number}");
            self.control.set_user(DEFAULT_APPID, &to, UserState::Unfollowed).map_err(Trouble::from)?;
            self.ledger.look().gone.insert(to.clone());
        }
        let mut data = Map::new();
        data.insert("title".to_owned(), "hello".into());
        data.insert("order".to_owned(), order.clone().into());
        if self.appetite.padding > 0 {
            data.insert("padding".to_owned(), "x".repeat(self.appetite.padding).into());
        }
        let send_at = if self.random.percent(8) { Some(self.later()) } else { None };
        let priority = self.random.percent(10).then_some(5);
        let (template, key) = (lane.name().to_owned(), Some(order.clone()));
        let request = SendRequest { template, to: to.clone(), data, key, send_at, priority, expires_at: None };
        let number = self.ledger.intend(lane, &order, &to);
        Ok(Wanted { number, lane, to, request })
    }

    /// An instant up to a second and a half from now, as the engine has it.
    fn later(&mut self) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = u64::try_from(now.as_millis()).unwrap_or(0).saturating_add_signed(self.ledger.look().shift_ms);
        rfc3339(now + self.random.between(100, 1500))
    }

    /// Sends until there is an answer for each.
    async fn send(&mut self, wanted: &[Wanted]) {
        let mut open: Vec<&Wanted> = wanted.iter().collect();
        while !open.is_empty() {
            let answers: Vec<Result<SendReply, String>> = match &open[..] {
                [one] => match self.client.send(&one.request, false).await {
                    Ok(reply) => vec![Ok(reply)],
                    Err(error) => vec![Err(code_of(&error))],
                },
                many => {
                    let requests: Vec<SendRequest> = many.iter().map(|wanted| wanted.request.clone()).collect();
                    match self.client.send_bulk(&requests, false).await {
                        Ok(lines) => lines.into_iter().map(line).collect(),
                        Err(error) => many.iter().map(|_| Err(code_of(&error))).collect(),
                    }
                }
            };
            let mut still = Vec::new();
            for (wanted, answer) in open.iter().zip(&answers) {
                match answer {
                    Ok(reply) => self.ledger.accepted(wanted.number, &reply.id),
                    Err(code) => {
                        self.ledger.refused(code);
                        still.push(*wanted);
                    }
                }
            }
            // A bulk answer that broke off has fewer lines than the request.
            still.extend(open.iter().skip(answers.len()));
            open = still;
            if !open.is_empty() {
                again(&self.ledger).await;
            }
        }
    }

    async fn post_permits(&mut self, wanted: &[Wanted]) -> Outcome {
        for lane in [Lane::Forms, Lane::Payments, Lane::Grants, Lane::GrantsAgain] {
            let whose: Vec<&str> =
                wanted.iter().filter(|wanted| wanted.lane == lane).map(|wanted| wanted.to.as_str()).collect();
            post_permits(&self.client, &self.control, &self.ledger, lane, &whose).await?;
        }
        Ok(())
    }

    /// What an operator does: looks at failures, mends them, holds some messages, withdraws others.
    async fn operate(mut self) -> Outcome {
        let mut held: Vec<String> = Vec::new();
        while !self.is_stopped() {
            self.pause().await;
            tokio::time::sleep(Duration::from_millis(20)).await;
            let recent = {
                let inner = self.ledger.look();
                let count = inner.entries.len();
                let number = count.saturating_sub(1 + self.random.index(40));
                inner.entries.get(number).and_then(|entry| entry.id.clone().map(|id| (number, id)))
            };
            let Some((number, id)) = recent else { continue };
            // Whether it was done is not asked: the comparison sees what became of it.
            match self.random.between(0, 10) {
                0 => {
                    self.ledger.look().entries[number].cancelled = true;
                    drop(self.client.act(&id, "cancel", None).await);
                }
                1..=3 => {
                    drop(self.client.act(&id, "hold", None).await);
                    held.push(id);
                }
                4..=6 => {
                    if let Some(id) = held.pop() {
                        drop(self.client.act(&id, "release", None).await);
                    }
                }
                7 | 8 => drop(self.stir().await),
                _ => drop(mend_failed(&self.client, &self.control, &self.ledger).await),
            }
        }
        Ok(())
    }
}

impl Caller {
    /// Holds what is in the middle of an attempt and lets it go at once: its outcome will come too late for it, and meet
    /// the fence.
    async fn stir(&self) -> Outcome {
        let page = self.client.messages(&[("state", "sending".to_owned()), ("limit", "5".to_owned())]).await?;
        for message in page.items {
            self.client.act(&message.id, "hold", None).await?;
            self.client.act(&message.id, "release", None).await?;
        }
        Ok(())
    }
}

/// Makes the users who were gone come back, and sends again what failed because of them.
pub(crate) async fn mend_failed(client: &Client, control: &Control, ledger: &Ledger) -> Outcome {
    let page = client.messages(&[("state", "failed".to_owned()), ("limit", "50".to_owned())]).await?;
    for message in page.items {
        if ledger.look().gone.contains(&message.to) {
            control.set_user(DEFAULT_APPID, &message.to, UserState::Following)?;
            client.act(&message.id, "retry", None).await?;
        }
    }
    Ok(())
}

/// Makes a credential for each as a phone would, and posts them until they are acknowledged.
pub(crate) async fn post_permits(
    client: &Client,
    control: &Control,
    ledger: &Ledger,
    lane: Lane,
    whose: &[&str],
) -> Outcome {
    let Some(source) = lane.source() else { return Ok(()) };
    if whose.is_empty() {
        return Ok(());
    }
    let permits = whose.iter().map(|to| permit(control, lane, to)).collect::<Result<Vec<Value>, ControlError>>()?;
    loop {
        match client.add_credentials(source, None, &permits).await {
            Ok(reply) => {
                let mut inner = ledger.look();
                inner.credentials.extend(reply.items.into_iter().filter_map(|item| item.id));
                return Ok(());
            }
            // One alone that was taken before the answer got lost is refused as a repetition: it is there.
            Err(ClientError::Refused(problem)) if problem.status == 422 && problem.detail.contains("before") => {
                return Ok(());
            }
            Err(error) => ledger.refused(&code_of(&error)),
        }
        again(ledger).await;
    }
}

fn permit(control: &Control, lane: Lane, to: &str) -> Result<Value, ControlError> {
    Ok(match lane {
        Lane::Payments => json!({"prepay_id": control.mint_prepay_ids(DEFAULT_APPID, to, 1)?[0], "openId": to}),
        Lane::Grants | Lane::GrantsAgain => {
            let template = lane.template_id();
            control.grant(DEFAULT_APPID, to, &template, 1)?;
            // An id of its own: the same post twice is one grant.
            static GRANTS: AtomicU64 = AtomicU64::new(0);
            let id = format!("grant-{}", GRANTS.fetch_add(1, Ordering::Relaxed));
            json!({"template_id": template, "openId": to, "id": id})
        }
        _ => json!({"form_id": control.mint_form_ids(DEFAULT_APPID, to, 1)?[0], "openId": to}),
    })
}

fn line(line: BulkLine) -> Result<SendReply, String> {
    match (line.accepted, line.problem) {
        (Some(reply), _) => Ok(reply),
        (None, Some(problem)) => Err(format!("{} {}", problem.status, problem.code())),
        (None, None) => Err("an empty line".to_owned()),
    }
}

/// Why there was no answer, in a word or two: the refusals of a run are counted by it.
pub(crate) fn code_of(error: &ClientError) -> String {
    match error {
        ClientError::Refused(problem) => format!("{} {}", problem.status, problem.code()),
        ClientError::Unreachable { .. } => "unanswered".to_owned(),
        ClientError::Foreign { .. } => "broken off".to_owned(),
    }
}
