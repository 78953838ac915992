#!/usr/bin/env python3
"""Makes pushes.json: what WeChat would push, signed and encrypted by wechatpy, and what has to come of it.

wechatpy shares no code with this plugin, so that a mistake here is not made on both sides. To make the file again:

    python3 -m venv wechatpy && wechatpy/bin/pip install wechatpy==1.8.18 cryptography
    wechatpy/bin/python plugins/wechat/tests/vectors/make.py > plugins/wechat/tests/vectors/pushes.json

Chance is seeded: the same versions make the same file.
"""

import json
import random
import sys
from urllib.parse import urlencode

from wechatpy import parse_message
from wechatpy.crypto import WeChatCrypto
from wechatpy.utils import WeChatSigner

APPID = "wx0123456789abcdef"
TOKEN = "AAAAA"
# The last character stands for two bits that are not part of the key: here they are 11, in OTHER_KEY 00.
KEY = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFb"
OTHER_KEY = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789abcdefA"
NOW = 1714037059
NONCE = "486452656"  # sorts after the time as text, before it as a number
USER = "o6_bmjrPTlm6_2sgVt7hMZOPfL2M"
TEMPLATE = "VRR0UEO9VJOLs0MHlU0OilqX6MVFDwH3_3gz3Oc0NIc"
OTHER_TEMPLATE = "BEwX0BOT3MqK3Uc5oTU3CGBqzjpndk2jzUf7VfExd8g"

cases = []


def sign(*parts):
    signer = WeChatSigner()
    signer.add_data(*parts)
    return signer.signature


def query(token=TOKEN, timestamp=NOW, **more):
    timestamp = str(timestamp)
    return {"signature": sign(token, timestamp, NONCE), "timestamp": timestamp, "nonce": NONCE, **more}


def case(name, body, query, status=200, events=(), app=None, method="POST", answer=None):
    if answer is None and status == 200:
        answer = "success"
    app = {"callback_token": TOKEN, **(app or {})}
    cases.append({
        "name": name, "app": app, "method": method, "query": urlencode(query), "body": body,
        "status": status, "answer": answer, "events": list(events),
    })


def encrypted(message, key=KEY, appid=APPID, token=TOKEN, timestamp=NOW):
    """The content and its query, as wechatpy makes and signs them, and reads them again."""
    crypto = WeChatCrypto(token, key, appid)
    reply = crypto.encrypt_message(message, NONCE, str(timestamp))
    content, signature = parse_reply(reply)
    assert crypto.decrypt_message({"Encrypt": content}, signature, str(timestamp), NONCE) == message
    return content, query(token, timestamp, encrypt_type="aes", msg_signature=signature)


def parse_reply(reply):
    import xmltodict
    fields = xmltodict.parse(reply)["xml"]
    return fields["Encrypt"], fields["MsgSignature"]


def in_xml(content, more=""):
    return f"<xml><ToUserName><![CDATA[gh_1]]></ToUserName>{more}<Encrypt><![CDATA[{content}]]></Encrypt></xml>"


def in_json(content, more=None):
    return json.dumps({"ToUserName": "gh_1", **(more or {}), "Encrypt": content})


def cdata(fields):
    return "".join(
        f"<{k}>{v}</{k}>" if isinstance(v, int) else f"<{k}><![CDATA[{v}]]></{k}>" for k, v in fields.items()
    )


def envelope(event, user=USER):
    return {"ToUserName": "gh_1", "FromUserName": user, "CreateTime": NOW, "MsgType": "event", "Event": event}


def xml(event, wrapper, items, user=USER):
    rows = "".join(f"<List>{cdata(item)}</List>" for item in items)
    text = f"<xml>{cdata(envelope(event, user))}<{wrapper}>{rows}</{wrapper}></xml>"
    assert parse_message(text).source == user
    return text


def as_json(event, items, user=USER):
    return json.dumps({**envelope(event, user), "CreateTime": str(NOW), "List": items}, ensure_ascii=False)


def permit(template, user=USER):
    return {"permit": {
        "source": "subscription", "recipient": user, "scope": template, "identity": f"{user}\n{template}\n\n{NOW}",
        "made_at": NOW * 1000,
    }}


def refusal(template):
    return {"refusal": {
        "source": "subscription", "recipient": USER, "scope": template, "identity": None, "made_at": NOW * 1000,
    }}


def in_every_form(name, xml_body, json_bodies, events):
    """The same push in the clear and encrypted, in XML and in JSON."""
    case(f"{name}, xml", xml_body, query(), events=events)
    for n, body in enumerate(json_bodies):
        case(f"{name}, json {n}", body, query(), events=events)
        content, signed = encrypted(body)
        case(f"{name}, json {n}, encrypted", in_json(content), signed, events=events, app={"callback_key": KEY})
    content, signed = encrypted(xml_body)
    case(f"{name}, xml, encrypted", in_xml(content), signed, events=events, app={"callback_key": KEY})


def popup(template, status, scene="0"):
    return {"TemplateId": template, "SubscribeStatusString": status, "PopupScene": scene}


def pushes():
    accept, reject = popup(TEMPLATE, "accept"), popup(OTHER_TEMPLATE, "reject")
    event, wrapper = "subscribe_msg_popup_event", "SubscribeMsgPopupEvent"
    in_every_form("one accept", xml(event, wrapper, [accept]),
                  [as_json(event, accept), as_json(event, [accept])], [permit(TEMPLATE)])
    in_every_form("an accept and a reject", xml(event, wrapper, [accept, reject]),
                  [as_json(event, [accept, reject])], [permit(TEMPLATE)])
    both = [accept, popup(OTHER_TEMPLATE, "accept")]
    in_every_form("two accepts", xml(event, wrapper, both), [as_json(event, both)],
                  [permit(TEMPLATE), permit(OTHER_TEMPLATE)])
    in_every_form("a reject", xml(event, wrapper, [reject]), [as_json(event, reject)], [])

    event, wrapper = "subscribe_msg_change_event", "SubscribeMsgChangeEvent"
    items = [{"TemplateId": t, "SubscribeStatusString": "reject"} for t in (TEMPLATE, OTHER_TEMPLATE)]
    in_every_form("two withdrawn", xml(event, wrapper, items), [as_json(event, items)],
                  [refusal(TEMPLATE), refusal(OTHER_TEMPLATE)])
    in_every_form("one withdrawn", xml(event, wrapper, items[:1]), [as_json(event, items[0])], [refusal(TEMPLATE)])

    event, wrapper = "subscribe_msg_sent_event", "SubscribeMsgSentEvent"
    for code, status, outcome in [(0, "success", "delivered"), (43101, "user refuse", "failed")]:
        number = {"TemplateId": TEMPLATE, "MsgID": 3557254367693750277, "ErrorCode": code, "ErrorStatus": status}
        text = {**number, "MsgID": "3557254367693750277", "ErrorCode": str(code)}
        in_every_form(f"sent with {code}", xml(event, wrapper, [number]), [as_json(event, number), as_json(event, [text])],
                      [{outcome: "3557254367693750277"}])

    statuses = [("success", "delivered"), ("failed:user block", "failed"), ("failed: system failed", "failed"),
                ("failed:freq limit", "failed"), (" Failed :\n user  block ", "failed"), ("failed", "failed"),
                ("postponed", None)]
    for status, outcome in statuses:
        fields = {**envelope("TEMPLATESENDJOBFINISH"), "MsgID": 200163836, "Status": status}
        body = f"<xml>{cdata(fields)}</xml>"
        assert parse_message(body).id == 200163836
        in_every_form(f"finished as {status!r}", body, [json.dumps(fields)], [{outcome: "200163836"}] if outcome else [])

    text = {**envelope(""), "MsgType": "text", "Content": "茶 & <b>", "MsgId": 1}
    del text["Event"]
    in_every_form("a text message", f"<xml>{cdata(text)}</xml>", [json.dumps(text), json.dumps(text, ensure_ascii=False)], [])
    follow = envelope("subscribe")
    in_every_form("a new follower", f"<xml>{cdata(follow)}</xml>", [json.dumps(follow)], [])


def modes():
    plain = as_json("subscribe_msg_popup_event", popup(TEMPLATE, "accept"))
    events = [permit(TEMPLATE)]
    content, signed = encrypted(plain)
    other = json.loads(as_json("subscribe_msg_popup_event", popup(OTHER_TEMPLATE, "accept")))
    secure, compatible = {"callback_key": KEY}, {"callback_key": KEY, "callback_mode": "compatible"}
    # What is in the clear beside what is encrypted is not proved, so it is not read where there is a key.
    for name, app in [("secure", secure), ("compatible", compatible)]:
        case(f"both forms, {name}", in_json(content, other), signed, events=events, app=app)
    case("both forms, no key", in_json(content, other), signed, events=[permit(OTHER_TEMPLATE)])
    case("in the clear, compatible", plain, query(), events=events, app=compatible)
    case("in the clear, secure", plain, query(), status=400, app=secure)
    case("encrypted, no key", in_json(content), signed, status=400)
    content, signed = encrypted(plain, key=OTHER_KEY)
    case("a key without idle bits", in_json(content), signed, events=events, app={"callback_key": OTHER_KEY})
    case("another key", in_json(content), signed, status=400, app=secure)
    content, signed = encrypted(plain, appid="wxffffffffffffffff")
    case("another appid", in_json(content), signed, status=400, app=secure)
    content, signed = encrypted(plain, appid=APPID + "0")
    case("a longer appid", in_json(content), signed, status=400, app=secure)


def proofs():
    plain = as_json("subscribe_msg_popup_event", popup(TEMPLATE, "accept"))
    secure = {"callback_key": KEY}
    case("another token", plain, query(token="AAAAB"), status=401)
    case("no signature", plain, {k: v for k, v in query().items() if k != "signature"}, status=400)
    case("no timestamp", plain, {k: v for k, v in query().items() if k != "timestamp"}, status=400)
    case("another nonce", plain, {**query(), "nonce": "1"}, status=401)
    for seconds, status in [(-301, 401), (-300, 200), (300, 200), (301, 401)]:
        case(f"signed {seconds} s from now", plain, query(timestamp=NOW + seconds), status=status,
             events=[permit(TEMPLATE)] if status == 200 else [])
    case("a time that is no number", plain, query(timestamp="soon"), status=401)
    case("a time beyond numbers", plain, query(timestamp=9223372036854775807), status=401)

    content, signed = encrypted(plain)
    case("another content", in_json(content[:40] + ("A" if content[40] != "A" else "B") + content[41:]), signed,
         status=401, app=secure)
    case("cut content", in_json(content[:64]), signed, status=401, app=secure)
    case("no signature of the content", in_json(content), query(encrypt_type="aes"), status=400, app=secure)
    case("the query's signature for the content's", in_json(content), {**signed, "msg_signature": signed["signature"]},
         status=401, app=secure)
    # Content that is signed rightly and cannot be read: by somebody who knows the token and not the key.
    for name, broken in [("truncated", content[:64]), ("half a block", content[:30]), ("no base64", "%%%%"), ("one block", content[:20] + "AA==")]:
        again = query(encrypt_type="aes", msg_signature=sign(TOKEN, str(NOW), NONCE, broken))
        case(f"signed and {name}", in_json(broken), again, status=400, app=secure)

    for name, app in [("plain", {}), ("secure", secure)]:
        checked = {**query(), "echostr": "4375120948345356249"}
        case(f"url check, {name}", "", checked, method="GET", answer="4375120948345356249", app=app)
        case(f"url check with another token, {name}", "", {**checked, "signature": sign("b", str(NOW), NONCE)},
             method="GET", status=401, app=app)
    case("url check without echostr", "", query(), method="GET", status=400)
    case("another method", plain, query(), method="PUT", status=405)


def contents():
    event, wrapper = "subscribe_msg_popup_event", "SubscribeMsgPopupEvent"
    bad = {
        "no json": "{", "no xml": "<xml>", "nothing": "", "a form": "a=1",
        "a bomb": '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]><xml><MsgType>&b;</MsgType></xml>',
        "no message type": json.dumps({"Event": event}),
        "no items": as_json(event, []),
        "items that are none": as_json(event, "x"),
        "no template": as_json(event, {"SubscribeStatusString": "accept"}),
        "no user": as_json(event, popup(TEMPLATE, "accept"), user=""),
        "no time": json.dumps({**json.loads(as_json(event, popup(TEMPLATE, "accept"))), "CreateTime": "soon"}),
        "milliseconds": json.dumps({**json.loads(as_json(event, popup(TEMPLATE, "accept"))), "CreateTime": NOW * 1000}),
        "no id": as_json("subscribe_msg_sent_event", {"ErrorCode": 0}),
        "a code of words": as_json("subscribe_msg_sent_event", {"MsgID": 1, "ErrorCode": "ok"}),
        "a line break in a user": as_json(event, popup(TEMPLATE, "accept"), user="o\nx"),
        "too many items": as_json(event, [popup(TEMPLATE, "accept")] * 65),
    }
    for name, body in bad.items():
        case(f"content with {name}", body, query(), status=400)
        if body:
            content, signed = encrypted(body)
            case(f"content with {name}, encrypted", in_json(content), signed, status=400, app={"callback_key": KEY})
    # Every length of padding, of which there are 32.
    for n in range(32):
        user = "o" + "u" * n
        content, signed = encrypted(xml(event, wrapper, [popup(TEMPLATE, "accept")], user=user))
        case(f"padding {n}", in_xml(content), signed, events=[permit(TEMPLATE, user)], app={"callback_key": KEY})


random.seed(20260101)
pushes()
modes()
proofs()
contents()
json.dump({"appid": APPID, "now": NOW * 1000, "pushes": cases}, sys.stdout, ensure_ascii=False, indent=1)
print()
