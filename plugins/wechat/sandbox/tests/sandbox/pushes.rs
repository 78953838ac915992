//! Pushes: how often they are tried, and to whom.

use std::time::{Duration, Instant};

use tidings_wechat_sandbox::{Callback, DEFAULT_APPID, Options, PushFormat, Pushed, start};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

const PATIENCE: Duration = Duration::from_secs(20);

/// Answers one request after the other with these statuses, and gives what was asked.
async fn answer(listener: TcpListener, statuses: &[u16]) -> Vec<String> {
    let mut asked = Vec::new();
    for status in statuses {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut bytes = Vec::new();
        while !String::from_utf8_lossy(&bytes).ends_with("</xml>") {
            assert!(stream.read_buf(&mut bytes).await.unwrap() > 0, "the push broke off");
        }
        asked.push(String::from_utf8(bytes).unwrap());
        let reply = format!("HTTP/1.1 {status} x\r\ncontent-length: 7\r\nconnection: close\r\n\r\nsuccess");
        stream.write_all(reply.as_bytes()).await.unwrap();
    }
    asked
}

#[tokio::test]
async fn a_push_is_tried_until_it_is_heard_and_three_times_at_most() {
    for (statuses, tries, status) in [(&[200][..], 1, 200), (&[503, 401], 2, 401), (&[503, 502, 500], 3, 500)] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/callbacks/shop", listener.local_addr().unwrap());
        let callback = Callback { url, token: "AAAAA".into(), key: None, format: PushFormat::Xml, copies: 1 };
        let options = Options { callback: Some(callback), ..Options::default() };
        let sandbox = start(TcpListener::bind("127.0.0.1:0").await.unwrap(), options).await;
        sandbox.control().answer(DEFAULT_APPID, "o-ann", "T", true).unwrap();
        let asked = tokio::time::timeout(PATIENCE, answer(listener, statuses)).await.expect("it is pushed");
        assert!(asked.iter().all(|push| *push == asked[0] && push.starts_with("POST /callbacks/shop?signature=")));
        let pushed = ended(&sandbox).await;
        assert_eq!((pushed.tries, pushed.status, pushed.answer.as_str()), (tries, status, "success"));
        sandbox.stop().await;
    }
}

/// The one push, once it has ended.
async fn ended(sandbox: &tidings_wechat_sandbox::Sandbox) -> Pushed {
    let since = Instant::now();
    loop {
        if let Some(pushed) = sandbox.control().pushes().pop() {
            return pushed;
        }
        assert!(since.elapsed() < PATIENCE, "the push has not ended");
        tokio::task::yield_now().await;
    }
}
