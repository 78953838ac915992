//! What the tests share: a sandbox, a plain HTTP/1.1 client over TCP that shows how a connection ended, and short words
//! for what a sender and a phone do.

use std::io;
use std::time::Duration;

use serde_json::{Value, json};
use tidings_wechat_sandbox::{Control, DEFAULT_APPID, DEFAULT_SECRET, Options, Sandbox, start};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Longer than any call here takes; a test that meets it has found a hang.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) const TEMPLATE_SEND: &str = "/cgi-bin/message/wxopen/template/send";
pub(crate) const SUBSCRIBE_SEND: &str = "/cgi-bin/message/subscribe/send";
pub(crate) const OFFICIAL_SEND: &str = "/cgi-bin/message/template/send";

pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// `wechat.md §0`: absent means 0.
    pub(crate) fn errcode(&self) -> i64 {
        self.json()["errcode"].as_i64().unwrap_or(0)
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// A connection that is kept.
pub(crate) struct Connection(TcpStream);

impl Connection {
    pub(crate) async fn open(sandbox: &Sandbox) -> Self {
        Self(TcpStream::connect(sandbox.address()).await.unwrap())
    }

    pub(crate) async fn call(&mut self, method: &str, target: &str, body: &[u8]) -> io::Result<Reply> {
        let exchange = async {
            let head = format!("{method} {target} HTTP/1.1\r\nhost: sandbox\r\ncontent-length: {}\r\n\r\n", body.len());
            let mut request = head.into_bytes();
            request.extend_from_slice(body);
            self.0.write_all(&request).await?;
            self.read_reply().await
        };
        tokio::time::timeout(PATIENCE, exchange).await.expect("a call ends in time")
    }

    /// Fails with `UnexpectedEof` when the connection closes without a byte of reply.
    async fn read_reply(&mut self) -> io::Result<Reply> {
        let mut bytes = Vec::new();
        let head_bytes = loop {
            if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            let mut chunk = [0; 4096];
            match self.0.read(&mut chunk).await? {
                0 => {
                    assert!(bytes.is_empty(), "the connection closed within a reply");
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                read => bytes.extend_from_slice(&chunk[..read]),
            }
        };
        let head = String::from_utf8(bytes[..head_bytes].to_vec()).unwrap().to_lowercase();
        let status = head[9..12].parse().unwrap();
        let (_, length) = head.split_once("content-length: ").unwrap();
        let length: usize = length.split("\r\n").next().unwrap().parse().unwrap();
        let mut body = bytes.split_off(head_bytes);
        let already = body.len();
        body.resize(length, 0);
        self.0.read_exact(&mut body[already..]).await?;
        Ok(Reply { status, head, body })
    }
}

/// A sandbox and one who calls it.
pub(crate) struct Phone {
    pub(crate) sandbox: Sandbox,
}

impl Phone {
    pub(crate) async fn with(options: Options) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self { sandbox: start(listener, options).await }
    }

    pub(crate) async fn new() -> Self {
        Self::with(Options::default()).await
    }

    pub(crate) fn control(&self) -> &Control {
        self.sandbox.control()
    }

    pub(crate) async fn try_call(&self, method: &str, target: &str, body: &[u8]) -> io::Result<Reply> {
        Connection::open(&self.sandbox).await.call(method, target, body).await
    }

    pub(crate) async fn call(&self, method: &str, target: &str, body: &Value) -> Reply {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.try_call(method, target, body.as_bytes()).await.unwrap()
    }

    pub(crate) async fn legacy_token(&self) -> Reply {
        let target =
            format!("/cgi-bin/token?grant_type=client_credential&appid={DEFAULT_APPID}&secret={DEFAULT_SECRET}");
        self.call("GET", &target, &Value::Null).await
    }

    pub(crate) async fn stable_token(&self, force_refresh: bool) -> Reply {
        let body = json!({
            "grant_type": "client_credential", "appid": DEFAULT_APPID, "secret": DEFAULT_SECRET,
            "force_refresh": force_refresh,
        });
        self.call("POST", "/cgi-bin/stable_token", &body).await
    }

    pub(crate) async fn token(&self) -> String {
        self.stable_token(false).await.json()["access_token"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn send_with(&self, token: &str, endpoint: &str, body: &Value) -> Reply {
        self.call("POST", &format!("{endpoint}?access_token={token}"), body).await
    }

    /// Sends with the token that is current.
    pub(crate) async fn send(&self, endpoint: &str, body: &Value) -> Reply {
        let token = self.token().await;
        self.send_with(&token, endpoint, body).await
    }

    /// What a send with this token is told, by a body that goes through every check but the last.
    pub(crate) async fn token_errcode(&self, token: &str) -> i64 {
        self.send_with(token, TEMPLATE_SEND, &template("alice", "no-such-form-id")).await.errcode()
    }

    pub(crate) fn form_id(&self, openid: &str) -> String {
        self.control().mint_form_ids(DEFAULT_APPID, openid, 1).unwrap().remove(0)
    }

    pub(crate) fn advance(&self, seconds: i64) {
        self.control().advance_clock(seconds).unwrap();
    }

    pub(crate) fn delivered(&self) -> usize {
        self.control().deliveries(0).len()
    }
}

pub(crate) fn access_token(reply: &Reply) -> String {
    reply.json()["access_token"].as_str().unwrap().to_owned()
}

pub(crate) fn template(openid: &str, form_id: &str) -> Value {
    json!({
        "touser": openid, "template_id": "T1", "page": "pages/order?id=1", "form_id": form_id,
        "data": {"keyword1": {"value": "你好"}},
    })
}

pub(crate) fn subscribe(openid: &str) -> Value {
    json!({"touser": openid, "template_id": "S1", "data": {"thing1": {"value": "订单已发货"}}})
}

pub(crate) fn official(openid: &str, client_msg_id: &str) -> Value {
    json!({
        "touser": openid, "template_id": "O1", "url": "https://example.com/", "client_msg_id": client_msg_id,
        "data": {"thing1": {"value": "订单已发货"}},
    })
}
