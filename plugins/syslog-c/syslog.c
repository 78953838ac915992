/*
 * A transport in C: each message becomes one line of the system log, by RFC 5424 over UDP (RFC 5426).
 *
 *     cc -std=c99 -O2 -fPIC -shared -fvisibility=hidden -I ../abi/include syslog.c -o libsyslog.so
 *
 * It shows what a plugin in C needs, and nothing else: a note, a description, two tables, one entry. It has no threads:
 * a datagram is sent or not sent at once, so every delivery is answered before submit returns.
 */
#define _POSIX_C_SOURCE 200809L

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "tidings_plugin.h"

/* RFC 5426 §3.2: what every receiver takes is 480 bytes, what it should take 2048. We cut at the second. */
#define LINE_BYTES_MAX 2048
#define HOST_BYTES_MAX 255
#define NAME_BYTES_MAX 48 /* APP-NAME, RFC 5424 §6 */

TIDINGS_PLUGIN_NOTE("syslog", "1.0.0", TIDINGS_ROLE_TRANSPORT);

static const char DESCRIPTION[] =
    "{\"name\": \"syslog\", \"version\": \"1.0.0\","
    " \"settings\": {\"type\": \"object\", \"required\": [\"host\"], \"properties\": {"
    "   \"host\": {\"type\": \"string\", \"description\": \"the IP address of who collects the log\","
    "              \"examples\": [\"127.0.0.1\"]},"
    "   \"port\": {\"type\": \"string\", \"default\": \"514\", \"description\": \"its UDP port\"},"
    "   \"facility\": {\"type\": \"string\", \"default\": \"user\", \"enum\": [\"user\", \"daemon\", \"local0\", \"local1\","
    "              \"local2\", \"local3\", \"local4\", \"local5\", \"local6\", \"local7\"],"
    "              \"description\": \"what kind of program speaks\"}}},"
    " \"stages\": [{\"role\": \"transport\", \"name\": \"line\","
    "   \"template\": {\"type\": \"object\", \"required\": [\"text\"], \"properties\": {"
    "     \"text\": {\"type\": \"string\", \"x-fill\": \"text\", \"description\": \"the line\"},"
    "     \"severity\": {\"type\": \"string\", \"default\": \"notice\", \"enum\": [\"emerg\", \"alert\", \"crit\", \"err\","
    "       \"warning\", \"notice\", \"info\", \"debug\"], \"description\": \"how bad it is\"}}}}]}";

static const tidings_host_v1 *host;

struct collector {
  uint64_t instance;
  int facility;
  int socket;
};

/* ---- Texts ------------------------------------------------------------------------------------------------------- */

static int is(tidings_text text, const char *word) {
  return text.size == strlen(word) && memcmp(text.data, word, text.size) == 0;
}

static tidings_text text_of(const char *words) {
  tidings_text text = {words, strlen(words)};
  return text;
}

/* The value of a string in a flat JSON object, copied into `value`. The host has checked the settings against the
 * description: there is the key, once, with a string of one line. Returns 0 if it does not fit or has escapes. */
static int setting(tidings_text settings, const char *key, char *value, size_t size) {
  char quoted[32];
  const char *at = settings.data, *end = settings.data + settings.size;
  size_t key_size = (size_t)snprintf(quoted, sizeof quoted, "\"%s\"", key), length;
  for (; at + key_size < end; at++)
    if (memcmp(at, quoted, key_size) == 0) break;
  if (at + key_size >= end) return 0;
  for (at += key_size; at < end && (*at == ':' || *at == ' '); at++) {
  }
  if (at >= end || *at++ != '"') return 0;
  for (length = 0; at + length < end && at[length] != '"'; length++)
    if (at[length] == '\\') return 0;
  if (length == 0 || length >= size || at + length >= end) return 0;
  memcpy(value, at, length);
  value[length] = '\0';
  return 1;
}

/* ---- A line by RFC 5424 ------------------------------------------------------------------------------------------ */

static int facility_of(const char *name) {
  if (strcmp(name, "user") == 0) return 1;
  if (strcmp(name, "daemon") == 0) return 3;
  return 16 + (name[5] - '0'); /* local0 to local7 */
}

static int severity_of(tidings_text name) {
  static const char *const NAMES[] = {"emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"};
  for (int severity = 0; severity < 8; severity++)
    if (is(name, NAMES[severity])) return severity;
  return 5;
}

/* Appends a text; control characters would break the line, or the terminal of who reads it. */
static size_t put(char *line, size_t at, tidings_text text, const char *unfit) {
  for (size_t i = 0; i < text.size && at < LINE_BYTES_MAX; i++) {
    unsigned char c = (unsigned char)text.data[i];
    line[at++] = (c < 0x20 || c == 0x7f || strchr(unfit, c) != NULL) ? '_' : (char)c;
  }
  return at;
}

/* The line, which is not closed by a NUL; its length. `line` has room for LINE_BYTES_MAX and 8 more. */
static size_t format(char *line, const struct collector *collector, const tidings_delivery_v1 *delivery) {
  tidings_text text = {NULL, 0}, severity = {NULL, 0}, name = delivery->recipient;
  const tidings_field_v1 *field = delivery->fields;
  char time_text[32], host_name[HOST_BYTES_MAX + 1] = "-";
  struct timespec now;
  struct tm parts;
  size_t at;
  for (size_t i = 0; i < delivery->field_count; i++) {
    if (is(field->key, "text")) text = field->value;
    if (is(field->key, "severity")) severity = field->value;
    field = TIDINGS_NEXT(tidings_field_v1, field, delivery->field_stride);
  }
  clock_gettime(CLOCK_REALTIME, &now);
  gmtime_r(&now.tv_sec, &parts);
  strftime(time_text, sizeof time_text, "%Y-%m-%dT%H:%M:%S", &parts);
  if (gethostname(host_name, sizeof host_name - 1) != 0 || host_name[0] == '\0') strcpy(host_name, "-");
  at = (size_t)snprintf(line, LINE_BYTES_MAX, "<%d>1 %s.%03ldZ %s ", collector->facility * 8 + severity_of(severity),
                        time_text, now.tv_nsec / 1000000, host_name);
  /* APP-NAME is who is told: what a collector sorts by. It is ASCII without spaces. */
  if (name.size > NAME_BYTES_MAX) name.size = NAME_BYTES_MAX;
  for (size_t i = 0; i < name.size; i++)
    line[at++] = (name.data[i] > 0x20 && name.data[i] < 0x7f) ? name.data[i] : '_';
  /* 32473 is the number for examples (RFC 5612). The id lets a collector drop a second copy. */
  at += (size_t)snprintf(line + at, LINE_BYTES_MAX - at, " - - [tidings@32473 id=\"");
  at = put(line, at, delivery->dedupe_id, "\"]\\");
  memcpy(line + at, "\"] \xEF\xBB\xBF", 6); /* the byte order mark says that UTF-8 follows */
  at = put(line, at + 6, text, "");
  /* What was cut was perhaps cut in the middle of a character. */
  if (at >= LINE_BYTES_MAX && (unsigned char)line[at - 1] >= 0x80) {
    while (((unsigned char)line[at - 1] & 0xC0) == 0x80) at--;
    at--;
  }
  return at;
}

/* ---- The role ---------------------------------------------------------------------------------------------------- */

static tidings_outcome_v1 send_line(const struct collector *collector, const tidings_delivery_v1 *delivery) {
  char line[LINE_BYTES_MAX + 8];
  size_t size = format(line, collector, delivery);
  tidings_outcome_v1 outcome;
  memset(&outcome, 0, sizeof outcome);
  outcome.struct_size = sizeof outcome;
  outcome.operation = delivery->operation;
  if (send(collector->socket, line, size, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0) {
    outcome.outcome = TIDINGS_ACCEPTED;
    return outcome;
  }
  switch (errno) {
    case EAGAIN:
    case ENOBUFS:
      outcome.outcome = TIDINGS_THROTTLED;
      outcome.retry_after_ms = 1000;
      outcome.detail = text_of("the network takes no more at the moment");
      break;
    case EMSGSIZE:
      outcome.outcome = TIDINGS_REJECTED;
      outcome.detail = text_of("the line is longer than the network takes");
      break;
    default: /* nothing has left this machine */
      outcome.outcome = TIDINGS_RETRY;
      outcome.detail = text_of("the collector cannot be reached");
  }
  return outcome;
}

static size_t submit(void *self, const tidings_delivery_v1 *deliveries, size_t count, size_t stride) {
  const struct collector *collector = self;
  for (size_t i = 0; i < count; i++) {
    tidings_outcome_v1 outcome = send_line(collector, deliveries);
    host->complete(collector->instance, &outcome, 1, sizeof outcome);
    deliveries = TIDINGS_NEXT(tidings_delivery_v1, deliveries, stride);
  }
  return count;
}

static int32_t create(uint64_t instance, const tidings_stage_v1 *stage, void **self, tidings_problems problems) {
  char name[HOST_BYTES_MAX + 1], port[8], facility[16];
  struct addrinfo hints, *found = NULL;
  struct collector *collector;
  if (!setting(stage->settings, "host", name, sizeof name)) {
    problems.put(problems.context, text_of("host"), text_of("is no IP address"));
    return TIDINGS_REFUSED;
  }
  if (!setting(stage->settings, "port", port, sizeof port)) strcpy(port, "514");
  if (!setting(stage->settings, "facility", facility, sizeof facility)) strcpy(facility, "user");
  if (strspn(port, "0123456789") != strlen(port)) {
    problems.put(problems.context, text_of("port"), text_of("is no number"));
    return TIDINGS_REFUSED;
  }
  memset(&hints, 0, sizeof hints);
  hints.ai_socktype = SOCK_DGRAM;
  hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV; /* create does without a network */
  if (getaddrinfo(name, port, &hints, &found) != 0) {
    problems.put(problems.context, text_of("host"), text_of("is no IP address"));
    return TIDINGS_REFUSED;
  }
  collector = calloc(1, sizeof *collector);
  if (collector != NULL) {
    collector->instance = instance;
    collector->facility = facility_of(facility);
    collector->socket = socket(found->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  }
  /* Connecting a datagram socket sends nothing; it fixes the address. */
  if (collector == NULL || collector->socket < 0 ||
      connect(collector->socket, found->ai_addr, found->ai_addrlen) != 0) {
    freeaddrinfo(found);
    if (collector != NULL && collector->socket >= 0) close(collector->socket);
    free(collector);
    problems.put(problems.context, text_of(""), text_of("no socket can be opened"));
    return TIDINGS_REFUSED;
  }
  freeaddrinfo(found);
  *self = collector;
  return TIDINGS_OK;
}

static void destroy(void *self) {
  struct collector *collector = self;
  close(collector->socket);
  free(collector);
}

/* ---- The tables -------------------------------------------------------------------------------------------------- */

static const tidings_transport_v1 TRANSPORT = {sizeof TRANSPORT, 0, NULL, submit, NULL};

static const void *get_interface(tidings_text role) {
  return is(role, TIDINGS_ROLE_NAME_TRANSPORT) ? &TRANSPORT : NULL;
}

static const tidings_plugin_v1 PLUGIN = {
    sizeof PLUGIN, TIDINGS_ABI_MINOR, {DESCRIPTION, sizeof DESCRIPTION - 1}, create, destroy, get_interface};

TIDINGS_EXPORT int32_t tidings_plugin_entry_v1(const tidings_host_v1 *offered, const tidings_plugin_v1 **plugin) {
  host = offered;
  *plugin = &PLUGIN;
  return TIDINGS_OK;
}
