//! Rules about what a plugin does beside what it is asked for.

use std::time::Duration;

use super::calls::Size;
use super::process::{Printed, Surroundings};
use super::record;
use super::rig::{Instance, Rig};
use super::transport;
use super::values::{self, NOWHERE};
use super::{Asked, Found, Progress, pure};
use crate::limits::LINE_BYTES_MAX;
use tidings_sdk::StageDescription;

/// Times that each stage is used.
const ROUNDS: usize = 100;

/// Lines that so much use may log.
const LINES_MAX: usize = 1000;

/// How long a transport may take to answer what it is used for here.
const ANSWERED_WITHIN: Duration = Duration::from_secs(10);

/// Uses each stage a little, as an engine does.
fn used(asked: &Asked, progress: &mut Progress<'_>) -> Result<(), String> {
    progress.at("loads it");
    let rig = Rig::open(asked)?;
    let app = values::app(&rig, asked, NOWHERE);
    for stage in &rig.description.stages {
        let instance = rig.instance(stage, &app)?;
        progress.at(&format!("uses `{}`", stage.name));
        use_stage(asked, &instance, stage)?;
    }
    Ok(())
}

fn use_stage(asked: &Asked, instance: &Instance<'_>, stage: &StageDescription) -> Result<(), String> {
    let rules = pure::rules(stage);
    let delivery = values::delivery(asked, stage, &rules, values::content(&rules, asked));
    if stage.role.name() == "transport" {
        let mut course = transport::Course::new(instance, delivery);
        course.offer_all(ROUNDS, ANSWERED_WITHIN)?;
        course.wait_answered(ANSWERED_WITHIN);
        return Ok(());
    }
    for round in 0..ROUNDS {
        let status = if round % 2 == 0 { 200 } else { 500 };
        // What they give is other rules' business.
        match stage.role.name() {
            "http_transport" => {
                drop(instance.request(&delivery, Size::Known)?);
                drop(instance.read(status, 0, b"{\"errcode\": 40001}", Size::Known)?);
            }
            "token_provider" => {
                drop(instance.token_request()?);
                drop(instance.token_read(status, 0, b"{}", Size::Known)?);
            }
            "credential_source" => drop(instance.admit(&[("recipient", "ann")], 0)?),
            "renderer" => drop(instance.render(&[], &serde_json::json!({}))?),
            "callback" => drop(instance.receive("POST", "", b"{}", Size::Known)?),
            _ => {}
        }
    }
    Ok(())
}

/// What is wrong with its calls is for other rules to tell.
fn not_used(what: &str) -> Found {
    Found::Nothing(format!("it cannot be used: {what}"))
}

pub(super) fn process(asked: &Asked, progress: &mut Progress<'_>) -> Result<Found, String> {
    let (before, printed) = (Surroundings::now(), Printed::from_now());
    if let Err(what) = used(asked, progress) {
        return Ok(not_used(&what));
    }
    let mut told = before.differences(&Surroundings::now());
    match printed.bytes() {
        0 => {}
        bytes => told.push(format!("it printed {bytes} bytes; say it with host->log")),
    }
    if told.is_empty() { Ok(Found::Well) } else { Err(told.join("; ")) }
}

pub(super) fn log(asked: &Asked, progress: &mut Progress<'_>) -> Result<Found, String> {
    if let Err(what) = used(asked, progress) {
        return Ok(not_used(&what));
    }
    let (count, longest) = record::with(|record| (record.line_count, record.longest_line));
    if count > LINES_MAX {
        return Ok(Found::Doubtful(format!(
            "it logged {count} lines in {ROUNDS} calls of each function; the engine leaves most of them out"
        )));
    }
    if longest > LINE_BYTES_MAX {
        return Ok(Found::Doubtful(format!(
            "it logged a line of {longest} bytes; the engine cuts at {LINE_BYTES_MAX}"
        )));
    }
    Ok(Found::Well)
}
