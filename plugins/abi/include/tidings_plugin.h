/*
 * tidings_plugin.h: the contract between Tidings and its plugins, major version 1.
 *
 * C99, no dependencies. This file is the source of truth: the Rust mirror is tested against it, byte by byte. A plugin
 * is a shared object with one note (TIDINGS_PLUGIN_NOTE), one exported function (tidings_plugin_entry_v1), and whatever
 * it keeps to itself. docs/PLUGINS.md tells how to write one; plugins/syslog-c is a whole one in C.
 *
 * THE RULES
 *
 * Memory.   An argument is borrowed for the call: who wants to keep it copies it. Nobody frees what the other has
 *           allocated. Results are put into sinks, which copy before they return. Only the two tables, the interfaces,
 *           and the description stay valid for ever. A plugin is never unloaded.
 * Text.     UTF-8 with a length, not closed by a NUL. An empty text may have a NULL pointer.
 * Growth.   A struct with a `struct_size` may grow at its end in later minors: its sender says how much of it is there,
 *           and what is not there is zero. Zero always means "not said". Arrays of such structs come with their stride:
 *           walk them with TIDINGS_NEXT, never with ++. Structs without a `struct_size` never change.
 * Ids.      `instance` and `operation` are numbers of the host's. One that is stale, doubled or invented is counted and
 *           ignored; nothing crashes.
 * Threads.  [plugin]  The host calls this from one thread, the plugin's own, and makes one call at a time.
 *           [any]     May be called from any thread, at any time between create and destroy of the instance, also
 *                     while a call into the plugin is under way. It never blocks and never calls back.
 * Time.     Deadlines are the host's. A call that takes long delays this plugin's messages and nobody else's; one that
 *           does not come back for 30 seconds parks the plugin. `request`, `read`, `check`, `admit`, `mint`, `render`
 *           and `receive` are pure: the same arguments, the same result; no clock, no sockets, no files.
 * Failure.  No exception, signal or longjmp may leave a function. A plugin in a language that panics catches it,
 *           reports it with host->panicked, and returns TIDINGS_PANICKED.
 * Secrets.  Texts marked (secret) never stand in a log line, a problem, or a detail.
 */
#ifndef TIDINGS_PLUGIN_H
#define TIDINGS_PLUGIN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TIDINGS_ABI_MAJOR 1u
#define TIDINGS_ABI_MINOR 0u

/* ---- Values that never change their shape ------------------------------------------------------------------------ */

typedef struct tidings_text {
  const char *data; /* UTF-8; NULL only where size is 0 */
  size_t size;      /* in bytes */
} tidings_text;

typedef struct tidings_bytes {
  const uint8_t *data;
  size_t size;
} tidings_bytes;

typedef struct tidings_pair {
  tidings_text name;
  tidings_text value;
} tidings_pair;

/* A text from a string literal. */
#define TIDINGS_TEXT(literal) { (literal), sizeof(literal) - 1 }

/* The element after `pointer` in an array with that stride in bytes. */
#define TIDINGS_NEXT(type, pointer, stride) ((const type *)(const void *)((const char *)(pointer) + (stride)))

/* What a function of the plugin returns. */
#define TIDINGS_OK 0        /* done */
#define TIDINGS_REFUSED 1   /* the input is at fault; the sink for problems says why */
#define TIDINGS_FAILED 2    /* the plugin is at fault; the log says why */
#define TIDINGS_PANICKED 3  /* the plugin broke down; host->panicked was told why */

/* Where problems go: one call each, as many as there are. `field` is where: a setting of the app, "data.thing1" of a
 * template, a posted field; empty for the whole. `problem` is a sentence for people, without secrets. */
typedef struct tidings_problems {
  void *context;
  void (*put)(void *context, tidings_text field, tidings_text problem);
} tidings_problems;

/* ---- HTTP as values ---------------------------------------------------------------------------------------------- */

typedef struct tidings_request_v1 {
  uint32_t struct_size;
  uint32_t reserved;
  tidings_text method; /* GET, POST, PUT, PATCH, DELETE */
  tidings_text url;    /* http:// or https://; may carry a token in its query (secret) */
  const tidings_pair *headers; /* beside host, length and user agent, which the host sets (secret) */
  size_t header_count;
  tidings_bytes body;  /* (secret) */
} tidings_request_v1;

typedef struct tidings_response_v1 {
  uint32_t struct_size;
  uint32_t status;             /* 100 to 599 */
  uint64_t retry_after_ms;     /* from the header Retry-After; 0 if there was none */
  tidings_bytes body;          /* whole; at most 256 KiB */
} tidings_response_v1;

typedef struct tidings_request_sink {
  void *context;
  void (*put)(void *context, const tidings_request_v1 *request); /* once */
} tidings_request_sink;

/* ---- What is sent, and what came of it --------------------------------------------------------------------------- */

/* Kinds of a field. */
#define TIDINGS_FIELD_TEXT 0u  /* `value` is a text */
#define TIDINGS_FIELD_JSON 1u  /* `value` is JSON: a number, a boolean, a list, a table */
#define TIDINGS_FIELD_ROW 2u   /* `value` is the text of the row `row` of the table `key` */
/* For a renderer only: how a value of a template is to be filled in. */
#define TIDINGS_FIELD_FILL 0x100u /* or-ed to TEXT or ROW: fill it in */
#define TIDINGS_FIELD_PAGE 0x200u /* or-ed to TEXT|FILL: a path with a query; values in the query are percent-encoded */

/* One value of a template: of its strings, as they stand in config or as they were filled in. */
typedef struct tidings_field_v1 {
  uint32_t struct_size;
  uint32_t kind;
  tidings_text key; /* "page" */
  tidings_text row; /* "keyword1", for TIDINGS_FIELD_ROW; empty otherwise */
  tidings_text value;
} tidings_field_v1;

typedef struct tidings_field_sink {
  void *context;
  void (*put)(void *context, const tidings_field_v1 *field); /* once for each field, in order */
} tidings_field_sink;

/* One message on its way. */
typedef struct tidings_delivery_v1 {
  uint32_t struct_size;
  uint32_t timeout_ms;            /* after so long nobody waits for the answer any more */
  uint64_t operation;             /* transport: answer under this id, exactly once; 0 for http_transport */
  tidings_text recipient;
  tidings_text token;             /* (secret) empty where the channel has no token provider */
  tidings_text credential_source; /* "form_id"; "quota.sends" if it is another plugin's; empty if none is bound */
  tidings_text credential;        /* (secret) what the provider wants to see of it; may be empty */
  tidings_text dedupe_id;         /* the same for every try of this message, and for no other message */
  const tidings_field_v1 *fields; /* the template, rendered */
  size_t field_count;
  size_t field_stride;
} tidings_delivery_v1;

/* What one try came to. A code the host does not know counts as TIDINGS_UNKNOWN. */
#define TIDINGS_UNKNOWN 0             /* it may have arrived; nobody can say */
#define TIDINGS_ACCEPTED 1            /* the provider took it */
#define TIDINGS_DUPLICATE 2           /* the provider says that it has this very message already */
#define TIDINGS_REJECTED 3            /* it cannot be sent as it is */
#define TIDINGS_CREDENTIAL_SPENT 4    /* the credential was used up before */
#define TIDINGS_CREDENTIAL_INVALID 5  /* the credential is wrong, expired, another's, or withdrawn */
#define TIDINGS_RECIPIENT_GONE 6      /* the recipient does not exist, left, or refuses */
#define TIDINGS_TOKEN_REJECTED 7      /* the token was refused */
#define TIDINGS_THROTTLED 8           /* too fast: the channel waits (retry_after_ms) */
#define TIDINGS_QUOTA_EXHAUSTED 9     /* the quota is used up (until_unix_ms) */
#define TIDINGS_RETRY 10              /* certainly not sent, and worth another try (retry_after_ms) */
#define TIDINGS_TEMPLATE_BROKEN 11    /* no message of this template can be sent until somebody mends it */
#define TIDINGS_HALT 12               /* the app must stop until an operator acts */

typedef struct tidings_outcome_v1 {
  uint32_t struct_size;
  int32_t outcome;
  uint64_t operation;       /* transport: which delivery; read: not looked at */
  uint64_t retry_after_ms;  /* 0: not said */
  int64_t until_unix_ms;    /* 0: not said */
  tidings_text provider_id; /* ACCEPTED: what the provider calls the message */
  tidings_text detail;      /* for people; what is longer than 1024 bytes is cut */
} tidings_outcome_v1;

typedef struct tidings_outcome_sink {
  void *context;
  void (*put)(void *context, const tidings_outcome_v1 *outcome); /* once */
} tidings_outcome_sink;

/* ---- Tokens and permits ------------------------------------------------------------------------------------------ */

#define TIDINGS_FETCH_RETRY 0           /* not now; another try is worth it (retry_after_ms) */
#define TIDINGS_FETCH_TOKEN 1           /* a token */
#define TIDINGS_FETCH_QUOTA_EXHAUSTED 2 /* no more fetches today */
#define TIDINGS_FETCH_HALT 3            /* the app must stop until an operator acts */

typedef struct tidings_fetched_v1 {
  uint32_t struct_size;
  int32_t fetched;
  uint64_t life_ms;        /* TOKEN: how long it lives from now */
  uint64_t retry_after_ms; /* RETRY: 0 if not said */
  tidings_text token;      /* (secret) */
  tidings_text detail;     /* for people */
} tidings_fetched_v1;

typedef struct tidings_fetched_sink {
  void *context;
  void (*put)(void *context, const tidings_fetched_v1 *fetched); /* once */
} tidings_fetched_sink;

/* A permit fit for the ledger. */
typedef struct tidings_permit_v1 {
  uint32_t struct_size;
  uint32_t uses;              /* how many messages it carries; 0: what the description says */
  int64_t made_at_unix_ms;    /* 0: now */
  int64_t expires_at_unix_ms; /* 0: by the life that the description says */
  tidings_text recipient;
  tidings_text scope;         /* the provider's template that it is for; empty for any */
  tidings_text value;         /* (secret) what is sent; empty where the provider only counts */
  tidings_text identity;      /* what makes it the same as one seen before; empty where nothing does */
} tidings_permit_v1;

typedef struct tidings_permit_sink {
  void *context;
  void (*put)(void *context, const tidings_permit_v1 *permit); /* at most once */
} tidings_permit_sink;

/* ---- What a provider pushes to us -------------------------------------------------------------------------------- */

typedef struct tidings_push_v1 {
  uint32_t struct_size;
  uint32_t reserved;
  int64_t now_unix_ms;
  tidings_text method;
  tidings_text query;          /* as it came, without the question mark */
  const tidings_pair *headers; /* names in lower case */
  size_t header_count;
  tidings_bytes body;          /* at most 256 KiB */
} tidings_push_v1;

#define TIDINGS_EVENT_NONE 0      /* nothing that concerns anybody */
#define TIDINGS_EVENT_PERMIT 1    /* a permit was given: `permit` and `source` */
#define TIDINGS_EVENT_REFUSAL 2   /* a recipient withdrew what was given: `permit` and `source` say which */
#define TIDINGS_EVENT_DELIVERED 3 /* the message `provider_id` has arrived */
#define TIDINGS_EVENT_FAILED 4    /* the message `provider_id` has not arrived: `detail` says why */

typedef struct tidings_event_v1 {
  uint32_t struct_size;
  int32_t event;
  tidings_text source;             /* a credential source of this plugin: "subscription" */
  tidings_text provider_id;
  tidings_text detail;             /* for people */
  const tidings_permit_v1 *permit; /* NULL for DELIVERED and FAILED */
} tidings_event_v1;

typedef struct tidings_event_sink {
  void *context;
  void (*put)(void *context, const tidings_event_v1 *event); /* once for each event */
} tidings_event_sink;

typedef struct tidings_reply_v1 {
  uint32_t struct_size;
  uint32_t status;
  tidings_text content_type;
  tidings_bytes body;
} tidings_reply_v1;

typedef struct tidings_reply_sink {
  void *context;
  void (*put)(void *context, const tidings_reply_v1 *reply); /* once */
} tidings_reply_sink;

/* ---- Instances --------------------------------------------------------------------------------------------------- */

/* What an instance is made for: one stage, for one app. Its settings were checked against the description before. */
typedef struct tidings_stage_v1 {
  uint32_t struct_size;
  uint32_t reserved;
  tidings_text role;           /* one of TIDINGS_ROLE_NAME_… */
  tidings_text stage;          /* its name in the description */
  tidings_text app;            /* the app's name in config */
  tidings_text settings;       /* JSON object: every setting that was given or has a default, but no secret */
  const tidings_pair *secrets; /* (secret) the settings that the description marks as secret */
  size_t secret_count;
} tidings_stage_v1;

/* ---- Roles: tables of functions, asked for by name --------------------------------------------------------------- */

#define TIDINGS_ROLE_TOKEN_PROVIDER 0x01u
#define TIDINGS_ROLE_CREDENTIAL_SOURCE 0x02u
#define TIDINGS_ROLE_RENDERER 0x04u
#define TIDINGS_ROLE_HTTP_TRANSPORT 0x08u
#define TIDINGS_ROLE_TRANSPORT 0x10u
#define TIDINGS_ROLE_CALLBACK 0x20u

#define TIDINGS_ROLE_NAME_TOKEN_PROVIDER "token_provider/1"
#define TIDINGS_ROLE_NAME_CREDENTIAL_SOURCE "credential_source/1"
#define TIDINGS_ROLE_NAME_RENDERER "renderer/1"
#define TIDINGS_ROLE_NAME_HTTP_TRANSPORT "http_transport/1"
#define TIDINGS_ROLE_NAME_TRANSPORT "transport/1"
#define TIDINGS_ROLE_NAME_CALLBACK "callback/1"

/* Every function of these is [plugin]; those marked (optional) may be NULL. */

/* token_provider: fetches what authorises an app at its provider. The host caches, renews and counts. */
typedef struct tidings_token_provider_v1 {
  uint32_t struct_size;
  uint32_t reserved;
  int32_t (*request)(void *self, tidings_request_sink request, tidings_problems problems);
  int32_t (*read)(void *self, const tidings_response_v1 *response, tidings_fetched_sink fetched);
  uint64_t (*fetches_per_day)(void *self); /* (optional) 0: no limit */
} tidings_token_provider_v1;

/* credential_source: says which permits are fit for the ledger. */
typedef struct tidings_credential_source_v1 {
  uint32_t struct_size;
  uint32_t reserved;
  /* A permit that was posted, as the fields of a form. */
  int32_t (*admit)(void *self, const tidings_pair *fields, size_t field_count, int64_t now_unix_ms,
                   tidings_permit_sink permit, tidings_problems problems);
  /* (optional) A permit that a recipient has by itself, because of the time. Its identity says which: it is taken once.
   * `next_unix_ms`: when to ask again; 0 for never. */
  int32_t (*mint)(void *self, tidings_text recipient, tidings_text scope, int64_t now_unix_ms,
                  tidings_permit_sink permit, int64_t *next_unix_ms);
} tidings_credential_source_v1;

/* renderer: fills the strings of a template in. */
typedef struct tidings_renderer_v1 {
  uint32_t struct_size;
  uint32_t reserved;
  /* Puts every field it was given, in order; those marked TIDINGS_FIELD_FILL filled in from `data`, a JSON object. */
  int32_t (*render)(void *self, const tidings_field_v1 *fields, size_t field_count, size_t field_stride,
                    tidings_text data, tidings_field_sink rendered, tidings_problems problems);
} tidings_renderer_v1;

/* http_transport: for a provider that speaks HTTP. The host does the talking. */
typedef struct tidings_http_transport_v1 {
  uint32_t struct_size;
  uint32_t reserved;
  /* (optional) What is wrong with rendered fields, by the provider's own rules. TIDINGS_OK if nothing is. */
  int32_t (*check)(void *self, const tidings_field_v1 *fields, size_t field_count, size_t field_stride,
                   tidings_problems problems);
  int32_t (*request)(void *self, const tidings_delivery_v1 *delivery, tidings_request_sink request,
                     tidings_problems problems);
  int32_t (*read)(void *self, const tidings_response_v1 *response, tidings_outcome_sink outcome);
} tidings_http_transport_v1;

/* transport: for everything else. The plugin does the talking, on threads of its own. */
typedef struct tidings_transport_v1 {
  uint32_t struct_size;
  uint32_t reserved;
  int32_t (*check)(void *self, const tidings_field_v1 *fields, size_t field_count, size_t field_stride,
                   tidings_problems problems); /* (optional) */
  /* Takes the first so many of these deliveries and says how many; the rest are offered again after the next
   * completion or host->writable. Does not block. Each one taken is answered exactly once by host->complete, from any
   * thread, also before this returns. */
  size_t (*submit)(void *self, const tidings_delivery_v1 *deliveries, size_t count, size_t stride);
  /* (optional) Nobody waits for these any more. They are to be answered all the same. */
  void (*cancel)(void *self, const uint64_t *operations, size_t count);
} tidings_transport_v1;

/* callback: reads what a provider pushes to us. */
typedef struct tidings_callback_v1 {
  uint32_t struct_size;
  uint32_t reserved;
  int32_t (*receive)(void *self, const tidings_push_v1 *push, tidings_event_sink events, tidings_reply_sink reply);
} tidings_callback_v1;

/* ---- The two tables ---------------------------------------------------------------------------------------------- */

#define TIDINGS_LOG_ERROR 1
#define TIDINGS_LOG_WARN 2
#define TIDINGS_LOG_INFO 3
#define TIDINGS_LOG_DEBUG 4
#define TIDINGS_LOG_TRACE 5

/* What the host offers. `instance` is what create was given; 0 where there is none yet. */
typedef struct tidings_host_v1 {
  uint32_t struct_size;
  uint32_t minor;
  int32_t (*log_enabled)(uint64_t instance, int32_t level);                        /* [any] 0 or 1 */
  void (*log)(uint64_t instance, int32_t level, tidings_text message);             /* [any] one line */
  void (*complete)(uint64_t instance, const tidings_outcome_v1 *outcomes, size_t count, size_t stride); /* [any] */
  void (*writable)(uint64_t instance);                                             /* [any] submit may take more */
  void (*panicked)(uint64_t instance, tidings_text message);                       /* [any] */
  const void *(*get_interface)(tidings_text name); /* [any] NULL for what this host does not have; none in minor 0 */
} tidings_host_v1;

/* What the plugin offers. */
typedef struct tidings_plugin_v1 {
  uint32_t struct_size;
  uint32_t minor;           /* of the header it was built with */
  tidings_text description; /* JSON: name, version, settings, stages; docs/PLUGINS.md says how */
  /* [plugin] Makes an instance; *self is given back with each call. Cheap, without a network; may be called many
   * times. TIDINGS_REFUSED, with problems, where the settings do not fit together. */
  int32_t (*create)(uint64_t instance, const tidings_stage_v1 *stage, void **self, tidings_problems problems);
  /* [plugin] Ends the instance. What is still unanswered is answered now. After it: no thread, no call. */
  void (*destroy)(void *self);
  /* [plugin] The functions of a role, as a pointer to tidings_…_v1; NULL for a role it does not have. */
  const void *(*get_interface)(tidings_text role);
} tidings_plugin_v1;

#if defined(__GNUC__)
#define TIDINGS_EXPORT __attribute__((visibility("default")))
#else
#define TIDINGS_EXPORT
#endif

/* The one function a plugin exports. [plugin] Called once. The name has the major version: a file may export several. */
TIDINGS_EXPORT int32_t tidings_plugin_entry_v1(const tidings_host_v1 *host, const tidings_plugin_v1 **plugin);

/* ---- The note: what can be known of a file before any of it runs ------------------------------------------------- */

#define TIDINGS_PANIC_NONE 0u   /* a language without panics */
#define TIDINGS_PANIC_UNWIND 1u /* panics are caught inside the plugin */
#define TIDINGS_PANIC_ABORT 2u  /* a panic ends the process: such a file is not loaded */

/* An ELF note in the section .note.tidings. Texts are closed by a NUL. */
typedef struct tidings_note {
  uint32_t name_size;        /* 8 */
  uint32_t description_size; /* of what comes after `owner` */
  uint32_t type;             /* 1 */
  char owner[8];             /* "Tidings" */
  uint32_t major;
  uint32_t minor;            /* of the header it was built with */
  uint32_t minor_needed;     /* of the host it can work with */
  uint32_t panic;
  uint32_t roles;            /* TIDINGS_ROLE_… or-ed */
  char name[32];             /* a-z, 0-9 and -, as in the description */
  char version[32];
  char target[48];           /* "x86_64-linux-gnu": what it was built for */
} tidings_note;

#if defined(__x86_64__)
#define TIDINGS_ARCH "x86_64"
#elif defined(__aarch64__)
#define TIDINGS_ARCH "aarch64"
#else
#define TIDINGS_ARCH "unknown"
#endif
#if defined(__GLIBC__)
#define TIDINGS_LIBC "gnu"
#else
#define TIDINGS_LIBC "musl"
#endif

#define TIDINGS_PLUGIN_NOTE(name_, version_, roles_)                                                          \
  __attribute__((used, aligned(4), section(".note.tidings"))) static const tidings_note tidings_note_of_file = { \
      8, sizeof(tidings_note) - offsetof(tidings_note, major), 1, "Tidings", TIDINGS_ABI_MAJOR,               \
      TIDINGS_ABI_MINOR, 0, TIDINGS_PANIC_NONE, (roles_), name_, version_,                                    \
      TIDINGS_ARCH "-linux-" TIDINGS_LIBC}

#ifdef __cplusplus
}
#endif

#endif
