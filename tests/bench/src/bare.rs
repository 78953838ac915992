//! The least that sends: a loop over one HTTP client, which keeps nothing and decides nothing. The ceiling for whoever
//! sends with that client.

use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::Value;

use crate::failure::{Failure, check};
use crate::server::{Provider, client};
use crate::workload::Kind;

/// Sends so many messages, so many at once, and reads each answer.
pub(crate) async fn send(
    provider: &Provider,
    kind: Kind,
    messages: u32,
    in_flight: usize,
) -> Result<Duration, Failure> {
    let client = client(None)?;
    let url = url(provider, kind);
    let begun = Instant::now();
    stream::iter(1..=messages)
        .map(|number| one(client.clone(), &url, kind, number))
        .buffer_unordered(in_flight)
        .try_for_each(|()| async { Ok(()) })
        .await?;
    Ok(begun.elapsed())
}

/// Where such a message is posted, with a token as the engine's.
pub(crate) fn url(provider: &Provider, kind: Kind) -> String {
    format!("{}{}?access_token=bench-token", provider.url, kind.path())
}

/// Sends one message, and reads the answer.
pub(crate) async fn one(client: reqwest::Client, url: &str, kind: Kind, number: u32) -> Result<(), Failure> {
    post(client, url, serde_json::to_vec(&kind.body(number))?).await
}

/// Sends what is already written, and reads the answer.
pub(crate) async fn post(client: reqwest::Client, url: &str, body: Vec<u8>) -> Result<(), Failure> {
    let response = client.post(url).header("content-type", "application/json").body(body).send().await?;
    let answer: Value = serde_json::from_slice(&response.bytes().await?)?;
    check(answer["errcode"] == 0, || format!("the provider answered {answer} to the bare loop"))
}
