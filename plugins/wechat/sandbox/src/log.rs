//! What was called, and what arrived on the phone: counters and a bounded log of deliveries.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A provider endpoint, by the name fault rules and counts use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Api {
    /// `GET /cgi-bin/token`.
    Token,
    /// `POST /cgi-bin/stable_token`.
    StableToken,
    /// `POST /cgi-bin/message/wxopen/template/send`.
    Template,
    /// `POST /cgi-bin/message/subscribe/send`.
    Subscribe,
    /// `POST /cgi-bin/message/template/send`.
    OfficialTemplate,
}

impl Api {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 5] =
        [Self::Token, Self::StableToken, Self::Template, Self::Subscribe, Self::OfficialTemplate];

    /// Whether it sends messages, rather than handing out tokens.
    pub fn is_send(self) -> bool {
        !matches!(self, Self::Token | Self::StableToken)
    }

    pub(crate) fn index(self) -> usize {
        match self {
            Self::Token => 0,
            Self::StableToken => 1,
            Self::Template => 2,
            Self::Subscribe => 3,
            Self::OfficialTemplate => 4,
        }
    }
}

/// Whether the caller was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReplyFate {
    /// The reply saying so was sent, perhaps late.
    Sent,
    /// A fault kept it from the caller: the connection closed, or the reply said something else.
    Dropped,
}

/// A message that arrived on the phone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Delivery {
    /// Its place in the order of arrival, from 1.
    pub seq: u64,
    /// When, in Unix milliseconds of the sandbox's clock.
    pub at: i64,
    /// Through which endpoint.
    pub api: Api,
    /// From which app.
    pub appid: String,
    /// To whom.
    pub openid: String,
    /// What template.
    pub template_id: String,
    /// The form_id or prepay_id it used; none for the other endpoints.
    pub credential: Option<String>,
    /// The caller's own id, at service-account templates.
    pub client_msg_id: Option<String>,
    /// Where a tap leads: `page`, or the mini-program's `pagepath`, or the `url`.
    pub page: Option<String>,
    /// The values, as they were sent.
    pub data: Value,
    /// The provider's id of it, whether or not the reply named it.
    pub msgid: i64,
    /// Whether the caller was told.
    pub reply: ReplyFate,
}

/// A stretch of the log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LogPage {
    /// The deliveries, oldest first.
    pub deliveries: Vec<Delivery>,
    /// What to ask after for the next page.
    pub next: u64,
    /// How many deliveries the log has dropped, oldest first, to stay within its limit.
    pub dropped: u64,
}

/// The part of a delivery the request alone decides.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct RequestPart {
    pub(crate) openid: String,
    pub(crate) template_id: String,
    pub(crate) credential: Option<String>,
    pub(crate) client_msg_id: Option<String>,
    pub(crate) page: Option<String>,
    pub(crate) data: Value,
}

/// A delivery as it is kept: the request's part stays one text until somebody reads it, a tenth of the size of a tree.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    pub(crate) at_ms: i64,
    pub(crate) api: Api,
    pub(crate) appid: Arc<str>,
    pub(crate) msgid: i64,
    pub(crate) reply: ReplyFate,
    /// A [`RequestPart`] in JSON.
    pub(crate) request: Arc<str>,
}

/// The deliveries, oldest first, at most so many.
#[derive(Debug)]
pub(crate) struct Log {
    records: VecDeque<Record>,
    records_max: usize,
    dropped: u64,
}

impl Log {
    pub(crate) fn new(records_max: usize) -> Self {
        Self { records: VecDeque::new(), records_max, dropped: 0 }
    }

    pub(crate) fn push(&mut self, record: Record) {
        self.records.push_back(record);
        if self.records.len() > self.records_max {
            self.records.pop_front();
            self.dropped += 1;
        }
    }

    /// A cheap copy of the records after `after`, made under the lock; [`read`] turns it into deliveries outside of it.
    pub(crate) fn since(&self, after: u64, limit: usize) -> RawPage {
        let skip = usize::try_from(after.saturating_sub(self.dropped)).unwrap_or(usize::MAX);
        let records = self.records.iter().skip(skip).take(limit).cloned().collect();
        RawPage { records, before_first: after.max(self.dropped), after, dropped: self.dropped }
    }
}

/// Records on their way out.
pub(crate) struct RawPage {
    records: Vec<Record>,
    before_first: u64,
    after: u64,
    dropped: u64,
}

/// Turns records into deliveries.
pub(crate) fn read(page: RawPage) -> LogPage {
    let RawPage { records, before_first, after, dropped } = page;
    let deliveries: Vec<Delivery> =
        records.into_iter().zip(before_first + 1..).map(|(record, seq)| read_record(record, seq)).collect();
    let next = deliveries.last().map_or(after, |delivery| delivery.seq);
    LogPage { deliveries, next, dropped }
}

fn read_record(record: Record, seq: u64) -> Delivery {
    let request: RequestPart = serde_json::from_str(&record.request).expect("the log holds the JSON it wrote itself");
    Delivery {
        seq,
        at: record.at_ms,
        api: record.api,
        appid: record.appid.as_ref().to_owned(),
        openid: request.openid,
        template_id: request.template_id,
        credential: request.credential,
        client_msg_id: request.client_msg_id,
        page: request.page,
        data: request.data,
        msgid: record.msgid,
        reply: record.reply,
    }
}

/// What was called, since the start.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Connections accepted, refused ones included.
    pub connections: u64,
    /// Connections closed at once by a fault.
    pub refused: u64,
    /// Deliveries, those the log has dropped included.
    pub deliveries: u64,
    /// By endpoint; those never called are absent.
    pub apis: BTreeMap<Api, ApiCounts>,
}

/// What one endpoint was asked and answered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiCounts {
    /// Calls that came in whole.
    pub calls: u64,
    /// Decisions by errcode, 0 for success, whether or not the reply reached the caller.
    pub errcodes: BTreeMap<i64, u64>,
    /// Faults by kind.
    pub faults: BTreeMap<String, u64>,
}

/// Counts as they are kept: an array, so that counting a call neither hashes nor allocates.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) connections: u64,
    pub(crate) refused: u64,
    pub(crate) deliveries: u64,
    apis: [ApiCounters; Api::ALL.len()],
}

#[derive(Debug, Default)]
struct ApiCounters {
    calls: u64,
    errcodes: BTreeMap<i64, u64>,
    faults: BTreeMap<&'static str, u64>,
}

impl Counters {
    pub(crate) fn call(&mut self, api: Api) {
        self.apis[api.index()].calls += 1;
    }

    pub(crate) fn errcode(&mut self, api: Api, errcode: i64) {
        *self.apis[api.index()].errcodes.entry(errcode).or_default() += 1;
    }

    pub(crate) fn fault(&mut self, api: Api, kind: &'static str) {
        *self.apis[api.index()].faults.entry(kind).or_default() += 1;
    }

    pub(crate) fn read(&self) -> Counts {
        let called = Api::ALL.into_iter().zip(&self.apis).filter(|(_, counters)| counters.calls > 0);
        let apis = called.map(|(api, counters)| (api, counters.read())).collect();
        Counts { connections: self.connections, refused: self.refused, deliveries: self.deliveries, apis }
    }
}

impl ApiCounters {
    fn read(&self) -> ApiCounts {
        let faults = self.faults.iter().map(|(kind, count)| ((*kind).to_owned(), *count)).collect();
        ApiCounts { calls: self.calls, errcodes: self.errcodes.clone(), faults }
    }
}
