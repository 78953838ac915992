//! From a file to a plugin that said what it is.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tidings_host::{Limits, OpenError, PluginState, Trouble};

use crate::fixture::{
    Folder, app, delivery, inspected, load, load_within, logged, sender, the_neighbour_answers, until,
};

#[tokio::test]
async fn a_plugin_that_is_not_what_it_says_is_refused_in_a_sentence() {
    for (name, part) in [
        ("lying_name", "its note says the name another, its description says one"),
        ("lying_version", "its note says the version 1.0.0, its description says 2.0.0"),
        ("lying_roles", "its note says the roles http_transport, renderer, its description says http_transport"),
        ("no_request", "has no function `request` in its table for http_transport"),
        ("no_table", "has no table for http_transport/1, which its description promises"),
        ("small_table", "has a table for http_transport/1 that is a struct of 8 bytes"),
        ("no_create", "has no function `create` in its table"),
        ("no_description", "has a description that cannot be read: it is no JSON"),
        ("small_plugin", "gave a table that is a struct of 0 bytes"),
        ("panics_at_load", "panicked when it was loaded"),
        ("missing_symbol", "cannot be loaded: undefined symbol: nobody_has_this"),
        ("no_entry", "exports no tidings_plugin_entry_v1"),
    ] {
        let refusal = load(name).unwrap_err();
        assert!(refusal.problem().contains(part), "{name}: {refusal}");
    }
    the_neighbour_answers().await;
}

#[tokio::test]
async fn a_table_that_has_grown_is_read_as_far_as_it_is_known() {
    let loaded = load("huge_table").unwrap();
    assert!(sender(&loaded).request(delivery("ann")).await.is_ok());
}

#[tokio::test]
async fn a_plugin_that_does_not_end_its_start_is_refused_in_time() {
    let limits = Limits { load_timeout: Duration::from_millis(100), ..Limits::default() };
    let refusal = load_within("sleeps_at_load", limits).unwrap_err();
    assert!(refusal.problem().contains("was not loaded within 100 ms"), "{refusal}");
    the_neighbour_answers().await;
}

#[tokio::test]
async fn what_is_loaded_is_what_was_checked_whatever_happens_to_the_file() {
    let folder = Folder::new();
    let path = folder.compile("good_pure");
    let checked = inspected(&path).unwrap();
    std::fs::write(&path, b"something else").unwrap();
    let loaded = tidings_host::load(checked).unwrap();
    assert_eq!((loaded.name(), loaded.state()), ("good-pure", PluginState::Working));
    assert!(sender(&loaded).request(delivery("ann")).await.is_ok());
}

#[tokio::test]
async fn one_file_loaded_twice_is_two_plugins() {
    let folder = Folder::new();
    let path = folder.compile("broken_answers");
    let one = sender(&tidings_host::load(inspected(&path).unwrap()).unwrap());
    let other = sender(&tidings_host::load(inspected(&path).unwrap()).unwrap());
    // Its memory of a sink is its own: were it shared, the second would be misused and counted.
    assert!(one.request(delivery("kept sink")).await.is_ok());
    assert!(other.request(delivery("kept sink")).await.is_ok());
}

#[tokio::test]
async fn an_app_is_handed_over_with_its_secrets_apart() {
    let loaded = load("good_pure").unwrap();
    let app = app("shop", json!({"base": "https://x", "key": "CANARY-key", "unknown": "stays here"}));
    let stage = loaded.open_http_transport("send", &app).unwrap();
    let request = stage.request(delivery("ann")).await.unwrap();
    let body = String::from_utf8(request.body).unwrap();
    assert!(body.contains(r#"{"base":"https://x"} shop 1"#), "{body}");
    assert_eq!(format!("{stage:?}"), r#"FileHttpTransport("send")"#);
}

#[test]
fn settings_that_do_not_fit_together_are_all_told() {
    let loaded = load("good_pure").unwrap();
    let refused = loaded.open_renderer("fill", &app("refused", json!({}))).unwrap_err();
    let OpenError::Settings(problems) = refused else { panic!("{refused}") };
    let fields: Vec<&str> = problems.iter().map(|problem| problem.field.as_str()).collect();
    assert_eq!(fields, ["base", "key"]);
    let absent = loaded.open_renderer("send", &app("shop", json!({}))).unwrap_err();
    assert_eq!(absent, OpenError::Trouble(Trouble::Refused("plugin `good-pure` has no renderer `send`".into())));
}

#[tokio::test]
async fn an_instance_ends_with_its_last_handle_and_the_thread_with_the_last_of_all() {
    logged();
    let loaded = load("broken_transport").unwrap();
    let stage = loaded.open_transport("carry", &app("ending", json!({}))).unwrap();
    let other = stage.clone();
    let weak = Arc::downgrade(&loaded);
    drop((loaded, stage));
    assert!(weak.upgrade().is_some());
    drop(other);
    until("the instance ends", || {
        logged().lines().any(|line| line.contains("the instance has ended") && line.contains("ending"))
    })
    .await;
    until("nobody holds the plugin", || weak.upgrade().is_none()).await;
}
