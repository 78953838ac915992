//! The mirror against the header: both are compiled, and every size, offset and constant is compared.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::fmt::Write as _;
use std::mem::{align_of, offset_of, size_of};
use std::path::{Path, PathBuf};
use std::process::Command;

use tidings_abi::v1::*;

/// A struct of the mirror: its name in C, its size and alignment, and where its fields stand.
struct Layout {
    c_name: &'static str,
    size: usize,
    align: usize,
    fields: Vec<(&'static str, usize)>,
}

macro_rules! layouts {
    ($($rust:ident = $c:literal { $($field:ident),* })*) => {
        vec![$(Layout {
            c_name: $c,
            size: size_of::<$rust>(),
            align: align_of::<$rust>(),
            fields: vec![$((stringify!($field), offset_of!($rust, $field))),*],
        }),*]
    };
}

#[rustfmt::skip]
fn layouts() -> Vec<Layout> {
    layouts! {
        Text = "tidings_text" { data, size }
        Bytes = "tidings_bytes" { data, size }
        Pair = "tidings_pair" { name, value }
        Problems = "tidings_problems" { context, put }
        Request = "tidings_request_v1" { struct_size, reserved, method, url, headers, header_count, body }
        Response = "tidings_response_v1" { struct_size, status, retry_after_ms, body }
        RequestSink = "tidings_request_sink" { context, put }
        Field = "tidings_field_v1" { struct_size, kind, key, row, value }
        FieldSink = "tidings_field_sink" { context, put }
        Delivery = "tidings_delivery_v1" { struct_size, timeout_ms, operation, recipient, token, credential_source, credential, dedupe_id, fields, field_count, field_stride }
        Outcome = "tidings_outcome_v1" { struct_size, outcome, operation, retry_after_ms, until_unix_ms, provider_id, detail }
        OutcomeSink = "tidings_outcome_sink" { context, put }
        Fetched = "tidings_fetched_v1" { struct_size, fetched, life_ms, retry_after_ms, token, detail }
        FetchedSink = "tidings_fetched_sink" { context, put }
        Permit = "tidings_permit_v1" { struct_size, uses, made_at_unix_ms, expires_at_unix_ms, recipient, scope, value, identity }
        PermitSink = "tidings_permit_sink" { context, put }
        Push = "tidings_push_v1" { struct_size, reserved, now_unix_ms, method, query, headers, header_count, body }
        Event = "tidings_event_v1" { struct_size, event, source, provider_id, detail, permit }
        EventSink = "tidings_event_sink" { context, put }
        Reply = "tidings_reply_v1" { struct_size, status, content_type, body }
        ReplySink = "tidings_reply_sink" { context, put }
        Stage = "tidings_stage_v1" { struct_size, reserved, role, stage, app, settings, secrets, secret_count }
        TokenProvider = "tidings_token_provider_v1" { struct_size, reserved, request, read, fetches_per_day }
        CredentialSource = "tidings_credential_source_v1" { struct_size, reserved, admit, mint }
        Renderer = "tidings_renderer_v1" { struct_size, reserved, render }
        HttpTransport = "tidings_http_transport_v1" { struct_size, reserved, check, request, read }
        Transport = "tidings_transport_v1" { struct_size, reserved, check, submit, cancel }
        Callback = "tidings_callback_v1" { struct_size, reserved, receive }
        Host = "tidings_host_v1" { struct_size, minor, log_enabled, log, complete, writable, panicked, get_interface }
        Plugin = "tidings_plugin_v1" { struct_size, minor, description, create, destroy, get_interface }
        Note = "tidings_note" { name_size, description_size, r#type, owner, major, minor, minor_needed, panic, roles, name, version, target }
    }
}

macro_rules! constants {
    ($($name:ident)*) => { vec![$((stringify!($name), i64::from($name))),*] };
}

#[rustfmt::skip]
fn constants() -> Vec<(&'static str, i64)> {
    constants! {
        ABI_MAJOR ABI_MINOR OK REFUSED FAILED PANICKED
        FIELD_TEXT FIELD_JSON FIELD_ROW FIELD_FILL FIELD_PAGE UNKNOWN
        ACCEPTED DUPLICATE REJECTED CREDENTIAL_SPENT CREDENTIAL_INVALID RECIPIENT_GONE
        TOKEN_REJECTED THROTTLED QUOTA_EXHAUSTED RETRY TEMPLATE_BROKEN HALT
        FETCH_RETRY FETCH_TOKEN FETCH_QUOTA_EXHAUSTED FETCH_HALT EVENT_NONE EVENT_PERMIT
        EVENT_REFUSAL EVENT_DELIVERED EVENT_FAILED ROLE_TOKEN_PROVIDER ROLE_CREDENTIAL_SOURCE ROLE_RENDERER
        ROLE_HTTP_TRANSPORT ROLE_TRANSPORT ROLE_CALLBACK LOG_ERROR LOG_WARN LOG_INFO
        LOG_DEBUG LOG_TRACE PANIC_NONE PANIC_UNWIND PANIC_ABORT
    }
}

macro_rules! names {
    ($($name:ident)*) => { vec![$((stringify!($name), $name)),*] };
}

fn names() -> Vec<(&'static str, &'static str)> {
    names! { ROLE_NAME_TOKEN_PROVIDER ROLE_NAME_CREDENTIAL_SOURCE ROLE_NAME_RENDERER ROLE_NAME_HTTP_TRANSPORT ROLE_NAME_TRANSPORT ROLE_NAME_CALLBACK }
}

fn include() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("include")
}

fn header() -> String {
    std::fs::read_to_string(include().join("tidings_plugin.h")).unwrap()
}

/// A program that prints what C makes of the header, in the order of the mirror.
fn program(layouts: &[Layout]) -> String {
    let mut text = String::from("#include <stdio.h>\n#include \"tidings_plugin.h\"\n");
    text.push_str("int main(void) {\n");
    for Layout { c_name, fields, .. } in layouts {
        writeln!(text, "  {{ struct probe {{ char c; {c_name} v; }};").unwrap();
        writeln!(text, "  printf(\"{c_name} %zu %zu\\n\", sizeof({c_name}), offsetof(struct probe, v)); }}").unwrap();
        for (field, _) in fields {
            let field = field.trim_start_matches("r#");
            writeln!(text, "  printf(\"  {field} %zu\\n\", offsetof({c_name}, {field}));").unwrap();
        }
    }
    for (name, _) in constants() {
        writeln!(text, "  printf(\"{name} %lld\\n\", (long long)TIDINGS_{name});").unwrap();
    }
    for (name, _) in names() {
        writeln!(text, "  printf(\"{name} %s\\n\", TIDINGS_{name});").unwrap();
    }
    text.push_str("  return 0;\n}\n");
    text
}

/// The same, as the mirror has it.
fn mirror(layouts: &[Layout]) -> String {
    let mut text = String::new();
    for Layout { c_name, size, align, fields } in layouts {
        writeln!(text, "{c_name} {size} {align}").unwrap();
        for (field, offset) in fields {
            writeln!(text, "  {} {offset}", field.trim_start_matches("r#")).unwrap();
        }
    }
    for (name, value) in constants() {
        writeln!(text, "{name} {value}").unwrap();
    }
    for (name, value) in names() {
        writeln!(text, "{name} {value}").unwrap();
    }
    text
}

fn cc(arguments: &[&str], source: &str, name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let (source_path, program) = (folder.join(format!("{name}.c")), folder.join(name));
    std::fs::write(&source_path, source).unwrap();
    let compiled = Command::new("cc")
        .args(["-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-I"])
        .arg(include())
        .arg(&source_path)
        .args(arguments)
        .arg("-o")
        .arg(&program)
        .output()
        .unwrap();
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
    program
}

#[test]
fn the_mirror_has_every_size_offset_and_constant_of_the_header() {
    let layouts = layouts();
    let printed = Command::new(cc(&[], &program(&layouts), "layout")).output().unwrap();
    assert_eq!(String::from_utf8(printed.stdout).unwrap(), mirror(&layouts));
}

/// Equal sizes do not show a struct, a field or a constant that the mirror lacks altogether.
#[test]
fn the_mirror_lacks_nothing_of_the_header() {
    let header = header();
    let structs = header.lines().filter_map(|line| line.strip_prefix("typedef struct ")?.strip_suffix(" {"));
    let mirrored: Vec<&str> = layouts().iter().map(|layout| layout.c_name).collect();
    assert_eq!(structs.collect::<Vec<_>>(), mirrored);
    let known: Vec<&str> =
        constants().iter().map(|(name, _)| *name).chain(names().iter().map(|(name, _)| *name)).collect();
    let helpers = ["PLUGIN_H", "TEXT(", "NEXT(", "EXPORT", "ARCH", "LIBC", "PLUGIN_NOTE("];
    for line in header.lines().filter_map(|line| line.strip_prefix("#define TIDINGS_")) {
        let name = line.split_whitespace().next().unwrap();
        let is_helper = helpers.iter().any(|helper| name.starts_with(helper));
        assert!(is_helper || known.contains(&name), "the mirror has no {name}");
    }
}

#[test]
fn the_header_can_be_read_in_one_sitting() {
    assert!(header().lines().count() < 500);
}

#[test]
fn the_header_is_c99_and_its_macros_are_too() {
    let source = r#"
        #include "tidings_plugin.h"
        TIDINGS_PLUGIN_NOTE("probe", "1.0.0", TIDINGS_ROLE_TRANSPORT | TIDINGS_ROLE_CALLBACK);
        static const tidings_text name = TIDINGS_TEXT("probe");
        int32_t tidings_plugin_entry_v1(const tidings_host_v1 *host, const tidings_plugin_v1 **plugin) {
          const tidings_field_v1 *field = 0;
          field = TIDINGS_NEXT(tidings_field_v1, &field, sizeof *field);
          (void)host; (void)plugin; (void)field; (void)name;
          return TIDINGS_FAILED;
        }
    "#;
    cc(&["-shared", "-fPIC"], source, "probe.so");
}
