//! Major version 1 of the contract. What each thing means stands in `include/tidings_plugin.h`.
#![expect(missing_docs, reason = "the header says it; saying it twice would be saying it differently one day")]

use core::ffi::{c_char, c_void};

use crate::read::Grows;

pub const ABI_MAJOR: u32 = 1;
pub const ABI_MINOR: u32 = 0;
pub const OK: i32 = 0;
pub const REFUSED: i32 = 1;
pub const FAILED: i32 = 2;
pub const PANICKED: i32 = 3;
pub const FIELD_TEXT: u32 = 0;
pub const FIELD_JSON: u32 = 1;
pub const FIELD_ROW: u32 = 2;
pub const FIELD_FILL: u32 = 0x100;
pub const FIELD_PAGE: u32 = 0x200;
pub const UNKNOWN: i32 = 0;
pub const ACCEPTED: i32 = 1;
pub const DUPLICATE: i32 = 2;
pub const REJECTED: i32 = 3;
pub const CREDENTIAL_SPENT: i32 = 4;
pub const CREDENTIAL_INVALID: i32 = 5;
pub const RECIPIENT_GONE: i32 = 6;
pub const TOKEN_REJECTED: i32 = 7;
pub const THROTTLED: i32 = 8;
pub const QUOTA_EXHAUSTED: i32 = 9;
pub const RETRY: i32 = 10;
pub const TEMPLATE_BROKEN: i32 = 11;
pub const HALT: i32 = 12;
pub const FETCH_RETRY: i32 = 0;
pub const FETCH_TOKEN: i32 = 1;
pub const FETCH_QUOTA_EXHAUSTED: i32 = 2;
pub const FETCH_HALT: i32 = 3;
pub const EVENT_NONE: i32 = 0;
pub const EVENT_PERMIT: i32 = 1;
pub const EVENT_REFUSAL: i32 = 2;
pub const EVENT_DELIVERED: i32 = 3;
pub const EVENT_FAILED: i32 = 4;
pub const ROLE_TOKEN_PROVIDER: u32 = 0x01;
pub const ROLE_CREDENTIAL_SOURCE: u32 = 0x02;
pub const ROLE_RENDERER: u32 = 0x04;
pub const ROLE_HTTP_TRANSPORT: u32 = 0x08;
pub const ROLE_TRANSPORT: u32 = 0x10;
pub const ROLE_CALLBACK: u32 = 0x20;
pub const ROLE_NAME_TOKEN_PROVIDER: &str = "token_provider/1";
pub const ROLE_NAME_CREDENTIAL_SOURCE: &str = "credential_source/1";
pub const ROLE_NAME_RENDERER: &str = "renderer/1";
pub const ROLE_NAME_HTTP_TRANSPORT: &str = "http_transport/1";
pub const ROLE_NAME_TRANSPORT: &str = "transport/1";
pub const ROLE_NAME_CALLBACK: &str = "callback/1";
pub const LOG_ERROR: i32 = 1;
pub const LOG_WARN: i32 = 2;
pub const LOG_INFO: i32 = 3;
pub const LOG_DEBUG: i32 = 4;
pub const LOG_TRACE: i32 = 5;
pub const PANIC_NONE: u32 = 0;
pub const PANIC_UNWIND: u32 = 1;
pub const PANIC_ABORT: u32 = 2;

/// The one function a plugin exports.
pub const ENTRY_SYMBOL: &core::ffi::CStr = c"tidings_plugin_entry_v1";

/// Its type.
pub type Entry = unsafe extern "C" fn(host: *const Host, plugin: *mut *const Plugin) -> i32;

/// The section of the note.
pub const NOTE_SECTION: &str = ".note.tidings";

/// The owner of the note.
pub const NOTE_OWNER: [u8; 8] = *b"Tidings\0";

/// `tidings_text`
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Text {
    pub data: *const c_char,
    pub size: usize,
}

/// `tidings_bytes`
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Bytes {
    pub data: *const u8,
    pub size: usize,
}

/// `tidings_pair`
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Pair {
    pub name: Text,
    pub value: Text,
}

/// `tidings_problems`
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Problems {
    pub context: *mut c_void,
    pub put: Option<unsafe extern "C" fn(*mut c_void, Text, Text)>,
}

/// `tidings_request_v1`
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Request {
    pub struct_size: u32,
    pub reserved: u32,
    pub method: Text,
    pub url: Text,
    pub headers: *const Pair,
    pub header_count: usize,
    pub body: Bytes,
}

// SAFETY: `repr(C)`, the size first, and zero is a value of integers, pointers and optional functions.
unsafe impl Grows for Request {}

/// `tidings_response_v1`
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Response {
    pub struct_size: u32,
    pub status: u32,
    pub retry_after_ms: u64,
    pub body: Bytes,
}

// SAFETY: `repr(C)`, the size first, and zero is a value of integers, pointers and optional functions.
unsafe impl Grows for Response {}

/// `tidings_request_sink`
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct RequestSink {
    pub context: *mut c_void,
    pub put: Option<unsafe extern "C" fn(*mut c_void, *const Request)>,
}

/// `tidings_field_v1`
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Field {
    pub struct_size: u32,
    pub kind: u32,
    pub key: Text,
    pub row: Text,
    pub value: Text,
}

// SAFETY: `repr(C)`, the size first, and zero is a value of integers, pointers and optional functions.
unsafe impl Grows for Field {}

/// `tidings_field_sink`
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct FieldSink {
    pub context: *mut c_void,
    pub put: Option<unsafe extern "C" fn(*mut c_void, *const Field)>,
}

/// `tidings_delivery_v1`
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Delivery {
    pub struct_size: u32,
    pub timeout_ms: u32,
    pub operation: u64,
    pub recipient: Text,
    pub token: Text,
    pub credential_source: Text,
    pub credential: Text,
    pub dedupe_id: Text,
    pub fields: *const Field,
    pub field_count: usize,
    pub field_stride: usize,
}

// SAFETY: `repr(C)`, the size first, and zero is a value of integers, pointers and optional functions.
unsafe impl Grows for Delivery {}

/// `tidings_outcome_v1`
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Outcome {
    pub struct_size: u32,
    pub outcome: i32,
    pub operation: u64,
    pub retry_after_ms: u64,
    pub until_unix_ms: i64,
    pub provider_id: Text,
    pub detail: Text,
}

// SAFETY: `repr(C)`, the size first, and zero is a value of integers, pointers and optional functions.
unsafe impl Grows for Outcome {}

/// `tidings_outcome_sink`
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct OutcomeSink {
    pub context: *mut c_void,
    pub put: Option<unsafe extern "C" fn(*mut c_void, *const Outcome)>,
}

/// `tidings_fetched_v1`
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Fetched {
    pub struct_size: u32,
    pub fetched: i32,
    pub life_ms: u64,
    pub retry_after_ms: u64,
    pub token: Text,
    pub detail: Text,
}

// SAFETY: `repr(C)`, the size first, and zero is a value of integers, pointers and optional functions.
unsafe impl Grows for Fetched {}

/// `tidings_fetched_sink`
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct FetchedSink {
    pub context: *mut c_void,
    pub put: Option<unsafe extern "C" fn(*mut c_void, *const Fetched)>,
}

/// `tidings_permit_v1`
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Permit {
    pub struct_size: u32,
    pub uses: u32,
    pub made_at_unix_ms: i64,
    pub expires_at_unix_ms: i64,
    pub recipient: Text,
    pub scope: Text,
    pub value: Text,
    pub identity: Text,
}

// SAFETY: `repr(C)`, the size first, and zero is a value of integers, pointers and optional functions.
unsafe impl Grows for Permit {}

/// `tidings_permit_sink`
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct PermitSink {
    pub context: *mut c_void,
    pub put: Option<unsafe extern "C" fn(*mut c_void, *const Permit)>,
}

/// `tidings_push_v1`
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Push {
    pub struct_size: u32,
    pub reserved: u32,
    pub now_unix_ms: i64,
    pub method: Text,
    pub query: Text,
    pub headers: *const Pair,
    pub header_count: usize,
    pub body: Bytes,
}

// SAFETY: `repr(C)`, the size first, and zero is a value of integers, pointers and optional functions.
unsafe impl Grows for Push {}

/// `tidings_event_v1`
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Event {
    pub struct_size: u32,
    pub event: i32,
    pub source: Text,
    pub provider_id: Text,
    pub detail: Text,
    pub permit: *const Permit,
}

// SAFETY: `repr(C)`, the size first, and zero is a value of integers, pointers and optional functions.
unsafe impl Grows for Event {}

/// `tidings_event_sink`
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct EventSink {
    pub context: *mut c_void,
    pub put: Option<unsafe extern "C" fn(*mut c_void, *const Event)>,
}

/// `tidings_reply_v1`
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Reply {
    pub struct_size: u32,
    pub status: u32,
    pub content_type: Text,
    pub body: Bytes,
}

// SAFETY: `repr(C)`, the size first, and zero is a value of integers, pointers and optional functions.
unsafe impl Grows for Reply {}

/// `tidings_reply_sink`
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct ReplySink {
    pub context: *mut c_void,
    pub put: Option<unsafe extern "C" fn(*mut c_void, *const Reply)>,
}

/// `tidings_stage_v1`
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Stage {
    pub struct_size: u32,
    pub reserved: u32,
    pub role: Text,
    pub stage: Text,
    pub app: Text,
    pub settings: Text,
    pub secrets: *const Pair,
    pub secret_count: usize,
}

// SAFETY: `repr(C)`, the size first, and zero is a value of integers, pointers and optional functions.
unsafe impl Grows for Stage {}

/// `tidings_token_provider_v1`
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct TokenProvider {
    pub struct_size: u32,
    pub reserved: u32,
    pub request: Option<unsafe extern "C" fn(*mut c_void, RequestSink, Problems) -> i32>,
    pub read: Option<unsafe extern "C" fn(*mut c_void, *const Response, FetchedSink) -> i32>,
    pub fetches_per_day: Option<unsafe extern "C" fn(*mut c_void) -> u64>,
}

// SAFETY: `repr(C)`, the size first, and zero is a value of integers, pointers and optional functions.
unsafe impl Grows for TokenProvider {}

/// `tidings_credential_source_v1`
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct CredentialSource {
    pub struct_size: u32,
    pub reserved: u32,
    pub admit: Option<unsafe extern "C" fn(*mut c_void, *const Pair, usize, i64, PermitSink, Problems) -> i32>,
    pub mint: Option<unsafe extern "C" fn(*mut c_void, Text, Text, i64, PermitSink, *mut i64) -> i32>,
}

// SAFETY: `repr(C)`, the size first, and zero is a value of integers, pointers and optional functions.
unsafe impl Grows for CredentialSource {}

/// `tidings_renderer_v1`
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Renderer {
    pub struct_size: u32,
    pub reserved: u32,
    pub render: Option<unsafe extern "C" fn(*mut c_void, *const Field, usize, usize, Text, FieldSink, Problems) -> i32>,
}

// SAFETY: `repr(C)`, the size first, and zero is a value of integers, pointers and optional functions.
unsafe impl Grows for Renderer {}

/// `tidings_http_transport_v1`
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct HttpTransport {
    pub struct_size: u32,
    pub reserved: u32,
    pub check: Option<unsafe extern "C" fn(*mut c_void, *const Field, usize, usize, Problems) -> i32>,
    pub request: Option<unsafe extern "C" fn(*mut c_void, *const Delivery, RequestSink, Problems) -> i32>,
    pub read: Option<unsafe extern "C" fn(*mut c_void, *const Response, OutcomeSink) -> i32>,
}

// SAFETY: `repr(C)`, the size first, and zero is a value of integers, pointers and optional functions.
unsafe impl Grows for HttpTransport {}

/// `tidings_transport_v1`
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Transport {
    pub struct_size: u32,
    pub reserved: u32,
    pub check: Option<unsafe extern "C" fn(*mut c_void, *const Field, usize, usize, Problems) -> i32>,
    pub submit: Option<unsafe extern "C" fn(*mut c_void, *const Delivery, usize, usize) -> usize>,
    pub cancel: Option<unsafe extern "C" fn(*mut c_void, *const u64, usize)>,
}

// SAFETY: `repr(C)`, the size first, and zero is a value of integers, pointers and optional functions.
unsafe impl Grows for Transport {}

/// `tidings_callback_v1`
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Callback {
    pub struct_size: u32,
    pub reserved: u32,
    pub receive: Option<unsafe extern "C" fn(*mut c_void, *const Push, EventSink, ReplySink) -> i32>,
}

// SAFETY: `repr(C)`, the size first, and zero is a value of integers, pointers and optional functions.
unsafe impl Grows for Callback {}

/// `tidings_host_v1`
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Host {
    pub struct_size: u32,
    pub minor: u32,
    pub log_enabled: Option<unsafe extern "C" fn(u64, i32) -> i32>,
    pub log: Option<unsafe extern "C" fn(u64, i32, Text)>,
    pub complete: Option<unsafe extern "C" fn(u64, *const Outcome, usize, usize)>,
    pub writable: Option<unsafe extern "C" fn(u64)>,
    pub panicked: Option<unsafe extern "C" fn(u64, Text)>,
    pub get_interface: Option<unsafe extern "C" fn(Text) -> *const c_void>,
}

// SAFETY: `repr(C)`, the size first, and zero is a value of integers, pointers and optional functions.
unsafe impl Grows for Host {}

/// `tidings_plugin_v1`
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Plugin {
    pub struct_size: u32,
    pub minor: u32,
    pub description: Text,
    pub create: Option<unsafe extern "C" fn(u64, *const Stage, *mut *mut c_void, Problems) -> i32>,
    pub destroy: Option<unsafe extern "C" fn(*mut c_void)>,
    pub get_interface: Option<unsafe extern "C" fn(Text) -> *const c_void>,
}

// SAFETY: `repr(C)`, the size first, and zero is a value of integers, pointers and optional functions.
unsafe impl Grows for Plugin {}

/// `tidings_note`
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Note {
    pub name_size: u32,
    pub description_size: u32,
    pub r#type: u32,
    pub owner: [c_char; 8],
    pub major: u32,
    pub minor: u32,
    pub minor_needed: u32,
    pub panic: u32,
    pub roles: u32,
    pub name: [c_char; 32],
    pub version: [c_char; 32],
    pub target: [c_char; 48],
}
