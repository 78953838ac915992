//! Rules about settings and instances.

use tidings_sdk::StageDescription;

use super::rig::{Made, Rig, sentence};
use super::values::{self, NOWHERE};
use super::{Asked, Found, Progress, process};

/// Instances that are made and ended.
const INSTANCES: usize = 100;

/// Bytes of memory that so many may leave behind.
const LEFT_BYTES_MAX: u64 = 8 * 1024 * 1024;

pub(super) fn examples(asked: &Asked, progress: &mut Progress<'_>) -> Result<Found, String> {
    progress.at("loads it");
    let rig = Rig::open(asked)?;
    let app = values::app(&rig, asked, NOWHERE);
    for stage in &rig.description.stages {
        progress.at(&format!("makes an instance of `{}`", stage.name));
        drop(rig.instance(stage, &app)?);
    }
    Ok(Found::Well)
}

pub(super) fn missing(asked: &Asked, progress: &mut Progress<'_>) -> Result<Found, String> {
    progress.at("loads it");
    let rig = Rig::open(asked)?;
    let app = values::app(&rig, asked, NOWHERE);
    let required = rig.description.app_settings.iter().filter(|setting| setting.required);
    for setting in required {
        let mut less = app.clone();
        less.remove(setting.name);
        for stage in &rig.description.stages {
            progress.at(&format!("makes an instance of `{}` without `{}`", stage.name, setting.name));
            // The engine refuses such an app before; an older engine with a newer plugin might not.
            unbroken(stage, rig.make(stage, &less, None), &format!("without `{}`", setting.name))?;
        }
    }
    Ok(Found::Well)
}

pub(super) fn garbage(asked: &Asked, progress: &mut Progress<'_>) -> Result<Found, String> {
    progress.at("loads it");
    let rig = Rig::open(asked)?;
    let app = values::app(&rig, asked, NOWHERE);
    let mut wrong: Vec<String> =
        ["{", "[]", "null", "7", "\"text\"", "{\"\": {}}", "\u{feff}{}", "{} {}"].map(str::to_owned).into();
    wrong.push("[".repeat(100_000));
    for setting in rig.description.app_settings {
        for value in ["null", "-1", "1e400", "[]", "{}", "\"\"", "\"\\u0000\"", "true"] {
            wrong.push(format!("{{{:?}: {value}}}", setting.name));
        }
    }
    // Who reads no settings need not look at them.
    let reads = !rig.description.app_settings.is_empty();
    for stage in &rig.description.stages {
        for settings in &wrong {
            let shown = &settings[..settings.floor_char_boundary(60)];
            progress.at(&format!("makes an instance of `{}` with the settings {shown}", stage.name));
            let made = rig.make(stage, &app, Some(settings));
            let is_json = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(settings).is_ok();
            match made {
                // It says that the host is at fault, and is right.
                Made::Broken(what) if !is_json && what.contains("TIDINGS_FAILED") => {}
                Made::Instance(_) if !is_json && reads => {
                    return Err(format!(
                        "stage `{}`: `create` took the settings {shown}, which are no JSON object",
                        stage.name
                    ));
                }
                made => unbroken(stage, made, &format!("with the settings {shown}"))?,
            }
        }
    }
    Ok(Found::Well)
}

/// Taken or refused with a reason: both are no crash.
fn unbroken(stage: &StageDescription, made: Made<'_>, how: &str) -> Result<(), String> {
    match made {
        Made::Broken(what) => {
            Err(format!("stage `{}` {how}: {what}; return TIDINGS_REFUSED with a problem", stage.name))
        }
        Made::Refused(problems) if sentence(&problems).is_empty() => {
            Err(format!("stage `{}` {how}: `create` refused and put no problem", stage.name))
        }
        Made::Refused(_) | Made::Instance(_) => Ok(()),
    }
}

pub(super) fn instances(asked: &Asked, progress: &mut Progress<'_>) -> Result<Found, String> {
    progress.at("loads it");
    let rig = Rig::open(asked)?;
    let app = values::app(&rig, asked, NOWHERE);
    let idle = process::threads();
    for stage in &rig.description.stages {
        progress.at(&format!("makes and ends {INSTANCES} instances of `{}`", stage.name));
        // What is made once, for ever, is made now.
        for _ in 0..INSTANCES / 4 {
            drop(rig.instance(stage, &app)?);
        }
        process::settled(process::threads, idle);
        let before = (process::threads(), process::open_files(), process::resident_bytes());
        for _ in 0..INSTANCES {
            drop(rig.instance(stage, &app)?);
        }
        let threads = process::settled(process::threads, before.0);
        let files = process::settled(process::open_files, before.1);
        let bytes = process::resident_bytes().saturating_sub(before.2);
        let leak = |what: String| Err(format!("stage `{}`: {INSTANCES} instances left {what}", stage.name));
        if threads > before.0 {
            return leak(format!("{} threads: {}", threads - before.0, process::thread_names()));
        }
        if files > before.1 {
            return leak(format!("{} open files", files - before.1));
        }
        if bytes > LEFT_BYTES_MAX {
            return leak(format!("{} KiB of memory", bytes / 1024));
        }
    }
    Ok(Found::Well)
}
