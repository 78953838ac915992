//! What a push says. Ordinary messages and other events are nobody's business here: they say nothing.

use tidings_sdk::{Permit, PushEvent, Timestamp};

use super::Refused;
use super::document::{Document, Item};
use crate::codes::{self, Call};
use crate::credentials::{SECONDS_END, SUBSCRIPTION, fit};

/// Items of one push. A dialog has five templates at most (§3).
const ITEMS_MAX: usize = 64;

/// Everything the push tells, in its order.
pub(super) fn read(push: &Document) -> Result<Vec<PushEvent>, Refused> {
    if required(push.text("MsgType"), "MsgType")? != "event" {
        return Ok(Vec::new());
    }
    match &*required(push.text("Event"), "Event")? {
        "subscribe_msg_popup_event" => each(push, "SubscribeMsgPopupEvent", |item| popup(push, item)),
        "subscribe_msg_change_event" => each(push, "SubscribeMsgChangeEvent", |item| change(push, item)),
        "subscribe_msg_sent_event" => each(push, "SubscribeMsgSentEvent", sent),
        "TEMPLATESENDJOBFINISH" => Ok(finished(push)?.into_iter().collect()),
        _ => Ok(Vec::new()),
    }
}

/// A user answered the dialog. An accept is one grant. A refusal withdraws nothing: it says that this dialog gave none,
/// and what was accepted before is still owed (§3, accepts accumulate).
fn popup(push: &Document, item: &Item<'_>) -> Result<Option<PushEvent>, Refused> {
    if status(item)? != "accept" {
        return Ok(None);
    }
    let mut permit = grant(push, item)?;
    // A push has no id, and its time is in seconds: one user accepts one template once in one of them (§3). A posted
    // grant's identity has no empty line, so the two are never taken for each other.
    let made_at = permit.made_at.map_or(0, |at| at.0 / 1000);
    permit.identity = permit.scope.as_ref().map(|scope| format!("{}\n{scope}\n\n{made_at}", permit.recipient));
    Ok(Some(PushEvent::Permit { source: SUBSCRIPTION.to_owned(), permit }))
}

/// A user changed their mind in the settings: only refusals are pushed, and what they gave until then is void (§3).
fn change(push: &Document, item: &Item<'_>) -> Result<Option<PushEvent>, Refused> {
    if status(item)? != "reject" {
        return Ok(None);
    }
    Ok(Some(PushEvent::Refusal { source: SUBSCRIPTION.to_owned(), permit: grant(push, item)? }))
}

/// The send of a subscription message ended, well or with a failure of WeChat's own.
fn sent(item: &Item<'_>) -> Result<Option<PushEvent>, Refused> {
    let provider_id = id(item.text("MsgID"), "MsgID")?;
    let code = required(item.text("ErrorCode"), "ErrorCode")?;
    let code: i64 = code.parse().map_err(|_| Refused::malformed("`ErrorCode` is no number"))?;
    if code == 0 {
        return Ok(Some(PushEvent::Delivered { provider_id }));
    }
    let status = item.text("ErrorStatus").unwrap_or_default();
    let detail = codes::classify(Call::Subscribe, code, &status).detail().to_owned();
    Ok(Some(PushEvent::Failed { provider_id, detail }))
}

/// The send of a template message ended (§4). Its states are not all documented: what begins as a failure is one, and a
/// word that nobody knows says nothing.
fn finished(push: &Document) -> Result<Option<PushEvent>, Refused> {
    let provider_id = id(push.text("MsgID"), "MsgID")?;
    let status = required(push.text("Status"), "Status")?.to_lowercase();
    let (state, reason) = status.split_once(':').unwrap_or((&status, ""));
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let (state, reason) = (words(state), codes::clean(&words(reason)));
    if state == "success" {
        return Ok(Some(PushEvent::Delivered { provider_id }));
    }
    if !state.starts_with("failed") {
        return Ok(None);
    }
    let detail = match reason.as_str() {
        "user block" => "WeChat did not deliver it: the user refuses the account's messages (user block)".to_owned(),
        "" => "WeChat did not deliver it, and does not say why".to_owned(),
        other => format!("WeChat did not deliver it: {other}"),
    };
    Ok(Some(PushEvent::Failed { provider_id, detail }))
}

/// What each item of the push says.
fn each(
    push: &Document,
    wrapper: &str,
    read: impl Fn(&Item<'_>) -> Result<Option<PushEvent>, Refused>,
) -> Result<Vec<PushEvent>, Refused> {
    let items = push.items(wrapper, "List");
    if items.is_empty() || items.len() > ITEMS_MAX {
        let why = format!("the push has {} items under `List`; 1 to {ITEMS_MAX} are read", items.len());
        return Err(Refused::malformed(why));
    }
    items.iter().filter_map(|item| read(item).transpose()).collect()
}

/// Whose grant of which template, and when it changed.
fn grant(push: &Document, item: &Item<'_>) -> Result<Permit, Refused> {
    let created = required(push.text("CreateTime"), "CreateTime")?;
    let seconds = created.parse().ok().filter(|seconds| (0..SECONDS_END).contains(seconds));
    let seconds = seconds.ok_or_else(|| Refused::malformed("`CreateTime` is no number of seconds since 1970"))?;
    Ok(Permit {
        recipient: id(push.text("FromUserName"), "FromUserName")?,
        scope: Some(id(item.text("TemplateId"), "TemplateId")?),
        made_at: Some(Timestamp(seconds * 1000)),
        ..Permit::default()
    })
}

fn status(item: &Item<'_>) -> Result<String, Refused> {
    required(item.text("SubscribeStatusString"), "SubscribeStatusString").map(String::from)
}

fn id(value: Option<impl AsRef<str>>, name: &str) -> Result<String, Refused> {
    let value = required(value, name)?;
    fit(name, value.as_ref()).map(str::to_owned).map_err(Refused::malformed)
}

fn required<T: AsRef<str>>(value: Option<T>, name: &str) -> Result<T, Refused> {
    let present = value.filter(|value| !value.as_ref().is_empty());
    present.ok_or_else(|| Refused::malformed(format!("the push has no `{name}`, or one that is no text")))
}
