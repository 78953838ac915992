//! The description of the API, held against the standard and against the engine itself by tools of others.
//!
//! They come from PyPI into `target/tmp`, once.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde_json::Value;

use crate::api::over_tcp;
use crate::harness::{World, http_tcp};

const SCHEMATHESIS: &str = "4.32.5";
const VALIDATOR: &str = "0.9.0";

/// Cases of each call beside those that its description itself asks for; the whole run takes about half a minute.
const EXAMPLES: &str = "6";

/// Every check, but for two. Whether a request in the right form can be carried out depends on config and on what is
/// there: the template that it names, say; such a no is described. A wrong line of many is answered in its line, and the
/// request with 200.
const SETTINGS: &str = r#"
[checks]
positive_data_acceptance.enabled = false

[[operations]]
include-path = ["/v1/messages/bulk", "/v1/credentials/{source}/bulk"]
checks.negative_data_rejection.enabled = false
"#;

/// The folder with the programs of both tools.
fn tools() -> &'static Path {
    static TOOLS: OnceLock<PathBuf> = OnceLock::new();
    TOOLS.get_or_init(|| {
        let venv = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("api-tools");
        let programs = venv.join("bin");
        let check = format!(
            "from importlib.metadata import version as v; assert v('schemathesis') == '{SCHEMATHESIS}' and \
             v('openapi-spec-validator') == '{VALIDATOR}'"
        );
        let mut look = Command::new(programs.join("python"));
        if !look.args(["-c", &check]).stderr(Stdio::null()).status().is_ok_and(|status| status.success()) {
            must(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv));
            must(
                Command::new(programs.join("python"))
                    .args(["-m", "pip", "install", "--quiet"])
                    .args([format!("schemathesis=={SCHEMATHESIS}"), format!("openapi-spec-validator=={VALIDATOR}")]),
            );
        }
        programs
    })
}

/// These tests never pass by being left out.
fn must(command: &mut Command) {
    let needed = format!(
        "the tools of this test cannot be installed: it needs python3 with venv and pip (Debian: `apt-get install python3 \
         python3-venv`), schemathesis {SCHEMATHESIS} and openapi-spec-validator {VALIDATOR} from PyPI"
    );
    let output = command.output().unwrap_or_else(|error| panic!("{needed}; {command:?}: {error}"));
    assert!(output.status.success(), "{needed}; {command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn the_description_is_openapi_3_1_and_the_same_with_and_without_an_engine() {
    let world = World::new();
    let printed = world.ok(&["openapi"]);
    let document: Value = serde_json::from_str(&printed).unwrap();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1."));
    world.write("openapi.json", &printed);
    let mut validator = Command::new(tools().join("openapi-spec-validator"));
    let said = validator.arg(world.path("openapi.json")).output().unwrap();
    assert!(
        said.status.success(),
        "{}{}",
        String::from_utf8_lossy(&said.stdout),
        String::from_utf8_lossy(&said.stderr)
    );
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            for member in ["summary", "responses", "security", "operationId"] {
                assert!(operation.get(member).is_some(), "{method} {path} has no `{member}`");
            }
        }
    }
    let (_world, address, _) = over_tcp();
    let served = http_tcp(address, "GET", "/openapi.json", &[], "");
    assert_eq!(served.json(), document, "anybody may read it");
}

/// Requests that the description allows and others, thousands of them, are answered as the description says: no server
/// error, no status, media type, header or body that it does not have, nothing taken that it refuses, no call without
/// its key.
#[test]
fn the_engine_answers_as_its_description_says() {
    let (world, address, key) = over_tcp();
    let hooks = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/e2e");
    world.write("schemathesis.toml", SETTINGS);
    let mut run = Command::new(tools().join("schemathesis"));
    run.current_dir(world.path(""))
        .env("PYTHONPATH", hooks)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("SCHEMATHESIS_HOOKS", "openapi_hooks")
        .args(["run", &format!("http://{address}/openapi.json"), "-H", &format!("Authorization: Bearer {key}")])
        .args(["--phases", "examples,coverage,fuzzing", "--max-examples", EXAMPLES, "--seed", "1"])
        .args(["--continue-on-failure", "--suppress-health-check", "all", "--generation-database", "none"])
        // Its answer has no end.
        .args(["--exclude-path", "/v1/events"])
        .args(["--request-timeout", "20", "--warnings", "off", "--no-color"]);
    let said = run.output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
    assert!(said.status.success(), "{text}");
    let cases: u32 = text
        .lines()
        .find_map(|line| {
            line.trim().split_once(" generated").and_then(|(count, _)| count.replace(',', "").parse().ok())
        })
        .unwrap_or_else(|| panic!("it does not say how many cases it tried: {text}"));
    assert!(cases > 500, "only {cases} cases were tried: {text}");
    assert_eq!(world.get("/healthz").status, 200, "the engine is none the worse for it");
}
