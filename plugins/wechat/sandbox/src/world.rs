//! The whole state behind one lock, and the one function that answers a call: state, request and time in, reply out.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::callback::PushEvent;
use crate::codes::{self, Refusal};
use crate::faults::{FaultKind, Faults, Plan};
use crate::limits::{CLIENT_MSG_ID_WINDOW_MS, CLIENT_MSG_IDS_MAX};
use crate::log::{Api, Counters, Log, Record, ReplyFate};
use crate::options::{App, AppKind, DuplicateReply, Options, Quotas, TemplateApi, Unknowns, WrongSecretCode};
use crate::permits::Permits;
use crate::random::SplitMix;
use crate::reply::Reply;
use crate::send::Message;
use crate::token::{self, Issued, Issuing, TokenChains, Tokens, Window, day_index, minute_index};
use crate::users::{UserState, Users};

/// A call, read and not yet judged.
#[derive(Debug)]
pub(crate) enum Call {
    /// A call of either token endpoint.
    Token(TokenCall),
    /// A call of a sending endpoint: its token, and its body if it could be read.
    Send { token: Option<String>, message: Result<Message, Refusal> },
}

/// What a token endpoint is asked.
#[derive(Debug, Default)]
pub(crate) struct TokenCall {
    pub(crate) grant_type: Option<String>,
    pub(crate) appid: Option<String>,
    pub(crate) secret: Option<String>,
    pub(crate) force_refresh: bool,
    /// Why the body could not be read, if it could not.
    pub(crate) fault: Option<Refusal>,
}

/// Everything the sandbox remembers.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) apps: Vec<AppState>,
    pub(crate) tokens: Tokens,
    pub(crate) permits: Permits,
    pub(crate) faults: Faults,
    pub(crate) log: Log,
    pub(crate) counters: Counters,
    pub(crate) random: SplitMix,
    /// What the last call made happen that is pushed, and the appid it is pushed for.
    pub(crate) happened: Option<(PushEvent, Arc<str>)>,
    unknowns: Unknowns,
    quotas: Quotas,
    msgid: i64,
}

/// What is known of one app.
#[derive(Debug)]
pub(crate) struct AppState {
    pub(crate) app: App,
    pub(crate) chains: TokenChains,
    pub(crate) users: Users,
    appid: Arc<str>,
    sends: [SendWindows; Api::ALL.len()],
    client_msg_ids: ClientMsgIds,
}

#[derive(Debug, Default)]
struct SendWindows {
    minute: Window,
    day: Window,
}

impl World {
    pub(crate) fn new(options: Options, now_ms: i64) -> Self {
        let apps = options.apps.into_iter().map(|app| AppState {
            appid: app.appid.as_str().into(),
            app,
            chains: TokenChains::default(),
            users: Users::default(),
            sends: Default::default(),
            client_msg_ids: ClientMsgIds::default(),
        });
        Self {
            apps: apps.collect(),
            tokens: Tokens::default(),
            permits: Permits::default(),
            faults: Faults::new(options.faults, options.seed),
            log: Log::new(options.log_deliveries_max),
            counters: Counters::default(),
            // Ids differ from start to start, as those of a real server do; only faults repeat with the seed.
            random: SplitMix::new(options.seed ^ now_ms.unsigned_abs().rotate_left(20)),
            happened: None,
            unknowns: options.unknowns,
            quotas: options.quotas,
            msgid: 1 << 60,
        }
    }

    pub(crate) fn app_index(&self, appid: &str) -> Option<usize> {
        self.apps.iter().position(|state| state.app.appid == appid)
    }

    /// Answers a call: what it meets, and what was decided unless the fault came first.
    pub(crate) fn answer(&mut self, api: Api, call: Call, now_ms: i64) -> (Plan, Option<Reply>) {
        let plan = self.faults.plan(api);
        self.counters.call(api);
        if plan.latency_ms > 0 {
            self.counters.fault(api, "latency");
        }
        let Some(kind) = plan.kind.as_deref() else {
            let reply = self.perform(api, call, ReplyFate::Sent, now_ms);
            return (plan, Some(reply));
        };
        self.counters.fault(api, kind.name());
        let reply = match kind {
            FaultKind::Errcode { errcode, errmsg } => {
                let refusal = Refusal { errcode: *errcode, errmsg: errmsg.clone().into() };
                Some(self.refuse(api, refusal, now_ms))
            }
            kind if kind.commits() => {
                let fate = if kind.hides_reply() { ReplyFate::Dropped } else { ReplyFate::Sent };
                Some(self.perform(api, call, fate, now_ms))
            }
            _ => None,
        };
        (plan, reply)
    }

    fn perform(&mut self, api: Api, call: Call, fate: ReplyFate, now_ms: i64) -> Reply {
        let decided = match call {
            Call::Token(call) => self.issue(api, call, now_ms).map(Reply::Token),
            Call::Send { token, message } => {
                self.send(api, token.as_deref(), message, fate, now_ms).map(|msgid| Reply::Accepted { msgid })
            }
        };
        match decided {
            Ok(reply) => {
                self.counters.errcode(api, reply.errcode());
                reply
            }
            Err(refusal) => self.refuse(api, refusal, now_ms),
        }
    }

    fn refuse(&mut self, api: Api, refusal: Refusal, now_ms: i64) -> Reply {
        self.counters.errcode(api, refusal.errcode);
        Reply::Refused { refusal, rid: self.random.rid(now_ms) }
    }

    /// Both token endpoints (`wechat.md §1`).
    fn issue(&mut self, api: Api, call: TokenCall, now_ms: i64) -> Result<Issued, Refusal> {
        if let Some(fault) = call.fault {
            return Err(fault);
        }
        if call.grant_type.as_deref() != Some("client_credential") {
            return Err(codes::WRONG_GRANT_TYPE);
        }
        let appid = call.appid.filter(|appid| !appid.is_empty()).ok_or(codes::APPID_MISSING)?;
        let secret = call.secret.filter(|secret| !secret.is_empty()).ok_or(codes::APPSECRET_MISSING)?;
        let app = self.app_index(&appid).ok_or(codes::WRONG_APPID)?;
        let state = &mut self.apps[app];
        if state.app.secret != secret {
            return Err(match self.unknowns.wrong_secret {
                WrongSecretCode::Code40001 => codes::WRONG_SECRET,
                WrongSecretCode::Code40125 => codes::INVALID_APPSECRET,
            });
        }
        let mut issuing = Issuing {
            tokens: &mut self.tokens,
            random: &mut self.random,
            quotas: &self.quotas,
            unknowns: &self.unknowns,
            app,
            now_ms,
        };
        match api {
            Api::Token => token::issue_legacy(&mut state.chains, &mut issuing),
            _ => token::issue_stable(&mut state.chains, call.force_refresh, &mut issuing),
        }
    }

    /// The sending endpoints: token, quota, body, recipient, permit, in this order; then the message has arrived.
    fn send(
        &mut self,
        api: Api,
        token: Option<&str>,
        message: Result<Message, Refusal>,
        fate: ReplyFate,
        now_ms: i64,
    ) -> Result<Option<i64>, Refusal> {
        let app = self.authorise(api, token, now_ms)?;
        self.count_send(api, app, now_ms)?;
        // wechat.md §2, Retirement.
        match self.unknowns.template_api {
            TemplateApi::Gone45103 if api == Api::Template => return Err(codes::RETIRED_45103),
            TemplateApi::Gone45109 if api == Api::Template => return Err(codes::RETIRED_45109),
            _ => {}
        }
        let message = message?;
        match api {
            Api::Subscribe => self.admit_subscribe(app, &message)?,
            Api::OfficialTemplate => {
                self.admit_official(app, &message)?;
                if let Some(msgid) = self.sent_before(app, &message, now_ms)? {
                    return Ok(Some(msgid));
                }
            }
            _ => self.admit_template(app, &message, now_ms)?,
        }
        let msgid = self.commit(api, app, &message, fate, now_ms);
        Ok(match api {
            Api::OfficialTemplate => Some(msgid),
            Api::Subscribe => self.unknowns.subscribe_msgid.then_some(msgid),
            // wechat.md §2: no msgid is documented there.
            _ => None,
        })
    }

    /// `wechat.md §1.4`, and that the token is of the right kind of account.
    fn authorise(&self, api: Api, token: Option<&str>, now_ms: i64) -> Result<usize, Refusal> {
        let token = token.filter(|token| !token.is_empty()).ok_or(codes::TOKEN_MISSING)?;
        let app = self.tokens.check(token, now_ms)?;
        match (self.apps[app].app.kind, api) {
            (AppKind::MiniProgram, Api::OfficialTemplate) => Err(codes::API_UNAUTHORISED),
            (AppKind::ServiceAccount, Api::Template | Api::Subscribe) => Err(codes::TOKEN_NOT_MINI_PROGRAM),
            _ => Ok(app),
        }
    }

    /// `wechat.md §6`: 45011 by the minute, 45009 by the day. Every authorised call counts, refused or not.
    fn count_send(&mut self, api: Api, app: usize, now_ms: i64) -> Result<(), Refusal> {
        let per_day = match api {
            Api::Subscribe => self.quotas.subscribe_per_day,
            Api::OfficialTemplate => self.quotas.official_template_per_day,
            _ => self.quotas.template_per_day,
        };
        let windows = &mut self.apps[app].sends[api.index()];
        windows.minute.take(minute_index(now_ms), self.quotas.sends_per_minute, codes::MINUTE_QUOTA)?;
        windows.day.take(day_index(now_ms, &self.unknowns), per_day, codes::DAILY_QUOTA)
    }

    /// `wechat.md §2`: a form_id or prepay_id, taken only when everything else holds.
    fn admit_template(&mut self, app: usize, message: &Message, now_ms: i64) -> Result<(), Refusal> {
        self.recipient(app, message)?;
        message.fault.clone().map_or(Ok(()), Err)?;
        let form_id = message.form_id.as_deref().ok_or(codes::WRONG_FORM_ID)?;
        self.permits.take(form_id, app, &message.openid, now_ms)
    }

    /// `wechat.md §3`: one grant for each send; a user who blocked has withdrawn.
    fn admit_subscribe(&mut self, app: usize, message: &Message) -> Result<(), Refusal> {
        if self.recipient(app, message)? == UserState::Blocked {
            return Err(codes::NO_GRANT);
        }
        let users = &mut self.apps[app].users;
        if let Some(fault) = message.fault.clone() {
            if self.unknowns.refused_send_uses_grant {
                users.use_grant(&message.openid, &message.template_id);
            }
            return Err(fault);
        }
        if users.use_grant(&message.openid, &message.template_id) { Ok(()) } else { Err(codes::NO_GRANT) }
    }

    /// `wechat.md §4`: followers only.
    fn admit_official(&self, app: usize, message: &Message) -> Result<(), Refusal> {
        match self.recipient(app, message)? {
            UserState::Unfollowed => Err(codes::NOT_FOLLOWING),
            UserState::Blocked => Err(codes::BLOCKED),
            UserState::Following | UserState::Refusing | UserState::Foreign => {
                message.fault.clone().map_or(Ok(()), Err)
            }
        }
    }

    /// `wechat.md §0`: an openid of another app is no openid here.
    fn recipient(&self, app: usize, message: &Message) -> Result<UserState, Refusal> {
        match self.apps[app].users.state(&message.openid) {
            UserState::Foreign => Err(codes::WRONG_OPENID),
            state => Ok(state),
        }
    }

    /// `wechat.md §4`: the same (openid, client_msg_id) is sent once in ten minutes.
    fn sent_before(&mut self, app: usize, message: &Message, now_ms: i64) -> Result<Option<i64>, Refusal> {
        let Some(client_msg_id) = &message.client_msg_id else { return Ok(None) };
        let msgid = self.apps[app].client_msg_ids.find(&message.openid, client_msg_id, now_ms);
        match self.unknowns.duplicate_client_msg_id {
            DuplicateReply::Code40241 if msgid.is_some() => Err(codes::DUPLICATE),
            _ => Ok(msgid),
        }
    }

    /// The message arrives on the phone.
    fn commit(&mut self, api: Api, app: usize, message: &Message, fate: ReplyFate, now_ms: i64) -> i64 {
        // wechat.md §0: above 2^53. Rising with time, so that a restarted sandbox does not repeat itself.
        self.msgid = self.msgid.saturating_add(1).max(now_ms.saturating_mul(1 << 20));
        let state = &mut self.apps[app];
        if let Some(client_msg_id) = &message.client_msg_id {
            state.client_msg_ids.remember(&message.openid, client_msg_id, self.msgid, now_ms);
        }
        let arrives = state.users.state(&message.openid) != UserState::Refusing;
        self.happened = receipt(api, message, self.msgid, arrives).map(|event| (event, Arc::clone(&state.appid)));
        if !arrives {
            return self.msgid;
        }
        self.counters.deliveries += 1;
        self.log.push(Record {
            at_ms: now_ms,
            api,
            appid: Arc::clone(&state.appid),
            msgid: self.msgid,
            reply: fate,
            request: Arc::clone(&message.request),
        });
        self.msgid
    }
}

/// What is pushed of a message that was accepted (`wechat.md §3`, §4); §2 knows of no event.
fn receipt(api: Api, message: &Message, msgid: i64, arrives: bool) -> Option<PushEvent> {
    let openid = message.openid.clone();
    match api {
        Api::Subscribe => {
            let errcode = if arrives { 0 } else { codes::NO_GRANT.errcode };
            Some(PushEvent::Sent { openid, template_id: message.template_id.clone(), msgid, errcode })
        }
        Api::OfficialTemplate => {
            let status = if arrives { "success" } else { "failed:user block" };
            Some(PushEvent::Finished { openid, msgid, status })
        }
        Api::Template | Api::Token | Api::StableToken => None,
    }
}

/// The client_msg_ids of the last ten minutes.
#[derive(Debug, Default)]
struct ClientMsgIds {
    known: HashMap<Arc<str>, Sent>,
    // In order of arrival, so that forgetting costs nothing. An id sent again after its window stands here twice.
    order: VecDeque<(i64, Arc<str>)>,
}

#[derive(Debug)]
struct Sent {
    at_ms: i64,
    msgid: i64,
}

impl ClientMsgIds {
    fn find(&self, openid: &str, client_msg_id: &str, now_ms: i64) -> Option<i64> {
        let sent = self.known.get(client_msg_key(openid, client_msg_id).as_str())?;
        (now_ms.saturating_sub(sent.at_ms) < CLIENT_MSG_ID_WINDOW_MS).then_some(sent.msgid)
    }

    fn remember(&mut self, openid: &str, client_msg_id: &str, msgid: i64, at_ms: i64) {
        let key: Arc<str> = client_msg_key(openid, client_msg_id).into();
        self.known.insert(Arc::clone(&key), Sent { at_ms, msgid });
        self.order.push_back((at_ms, key));
        while let Some((oldest_ms, _)) = self.order.front()
            && (at_ms.saturating_sub(*oldest_ms) >= CLIENT_MSG_ID_WINDOW_MS || self.order.len() > CLIENT_MSG_IDS_MAX)
        {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        let Some((at_ms, key)) = self.order.pop_front() else { return };
        if self.known.get(&key).is_some_and(|sent| sent.at_ms == at_ms) {
            self.known.remove(&key);
        }
    }
}

/// An openid is visible ASCII, so a space cannot be part of it.
fn client_msg_key(openid: &str, client_msg_id: &str) -> String {
    format!("{openid} {client_msg_id}")
}
