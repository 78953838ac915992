//! Every problem that the API answers, in one table: documents and descriptions are made of it.
//!
//! A code is stable: callers act on it. What a detail says is for people and may change.

/// A kind of problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kind {
    /// The last part of its type: `template-unknown`.
    pub(super) code: &'static str,
    /// The HTTP status.
    pub(super) status: u16,
    /// It in a few words.
    pub(super) title: &'static str,
    /// What a caller does about it.
    pub(super) remedy: &'static str,
}

impl Kind {
    /// Whether the same request may do later what it did not now, without anybody changing it.
    pub(super) fn is_retryable(self) -> bool {
        matches!(self.status, 429 | 503 | 507)
    }
}

const fn kind(status: u16, code: &'static str, title: &'static str, remedy: &'static str) -> Kind {
    Kind { code, status, title, remedy }
}

/// All of them, by status.
pub(super) const CATALOGUE: &[Kind] = &[
    kind(
        400,
        "unreadable",
        "the request cannot be read",
        "mend the request as the detail says: an unknown member or parameter is a mistake, never ignored",
    ),
    kind(
        400,
        "key-unread",
        "this call reads no idempotency key",
        "leave the header `Idempotency-Key` out: the call does the same however often it comes, or says that it does not",
    ),
    kind(
        400,
        "push-malformed",
        "the push cannot be read",
        "mend what the detail says in the provider's console: how it pushes must be what the app's settings say",
    ),
    kind(
        401,
        "unauthorised",
        "who are you",
        "send a key as `Authorization: Bearer KEY`; one that was revoked or has expired is as good as none",
    ),
    kind(
        401,
        "push-unproved",
        "the push is not proved to be its provider's",
        "compare the secrets of the app with those in the provider's console, and this machine's clock with the time",
    ),
    kind(403, "scope", "not with this key", "use a key that has the scope which the detail names"),
    kind(
        403,
        "key-exceeds",
        "a key gives no more than it has",
        "ask somebody whose key has those scopes for that long",
    ),
    kind(403, "local-only", "not from here", "make the call over the local socket, on the engine's machine"),
    kind(404, "no-route", "there is no such path", "look the path up at `GET /openapi.json`"),
    kind(404, "app-unknown", "there is no such app", "name one of the apps that the detail lists"),
    kind(
        404,
        "callback-unknown",
        "there is no such callback",
        "give the app the settings its plugin names for callbacks",
    ),
    kind(404, "channel-unknown", "there is no such channel", "name one of `GET /v1/channels`"),
    kind(404, "key-unknown", "there is no such key", "name one of `GET /v1/keys`"),
    kind(404, "message-unknown", "there is no such message", "it never was, or it ended and left the store by its age"),
    kind(404, "run-unknown", "there is no such run", "it never was, or it ended and left the store by its age"),
    kind(404, "source-unknown", "there is no such credential source", "name one of those that the detail lists"),
    kind(404, "schedule-unknown", "there is no such schedule", "name one of `GET /v1/schedules`"),
    kind(404, "suppression-unknown", "this recipient is not suppressed", "name one of `GET /v1/suppressions`"),
    kind(404, "template-unknown", "there is no such template", "name one of those that the detail lists"),
    kind(404, "webhook-unknown", "there is no such webhook", "name one of `GET /v1/webhooks`"),
    kind(405, "method", "not with this method", "use a method that the header `Allow` names"),
    kind(408, "late", "the body did not come in time", "send it without pauses, or in parts"),
    kind(409, "backfill-running", "another backfill of it goes on", "let it end, or stop it"),
    kind(
        409,
        "backup-elsewhere",
        "the store is in PostgreSQL, not in a file",
        "copy the database with `pg_dump`, or as its keeper does",
    ),
    kind(409, "backup-exists", "the file is there", "name a file that is not there: none is written over"),
    kind(409, "backup-running", "another backup is being made", "wait for its end"),
    kind(
        409,
        "backup-unfinished",
        "another backup was cut short there",
        "remove the unfinished file that the detail names, or name another",
    ),
    kind(409, "config-fixed", "this engine has no config file to read again", "start it with `tidings run -c FILE`"),
    kind(409, "key-exists", "there is a key of that name", "revoke it first, or choose another name"),
    kind(409, "key-in-config", "that key stands in config", "change it there and reload"),
    kind(409, "keys-full", "there are as many keys as there may be", "use the name of a revoked one again"),
    kind(409, "needs-restart", "that is read at a start alone", "put it back, or stop the engine and start it again"),
    kind(409, "audience-unusable", "the audience cannot be read", "mend the audience as the detail says"),
    kind(409, "no-broadcast", "the schedule sends nothing", "name a schedule whose job is `send`"),
    kind(409, "run-over", "the run has ended", "look what came of it at `GET /v1/runs/{run}`"),
    kind(409, "schedule-running", "its last run is still under way", "wait for its end, or have its runs overlap"),
    kind(409, "state", "the message's state does not allow it", "look where the message stands, and act on that"),
    kind(413, "too-large", "the body is too large", "send it in parts"),
    kind(422, "app-ambiguous", "several apps take this source", "name one with `?app=`"),
    kind(422, "backfill-empty", "no nominal time lies there", "name a range that the schedule has passed"),
    kind(422, "backfill-too-large", "too many nominal times lie there", "name a shorter range, and the next one later"),
    kind(422, "backup-path", "no file can be made there", "name a file in a folder that the engine may write to"),
    kind(
        422,
        "config-invalid",
        "the config has mistakes",
        "mend what the detail says; the engine goes on by what it had",
    ),
    kind(
        422,
        "credential-refused",
        "the credential was not taken",
        "mend what the detail says; one that was posted before is not needed again",
    ),
    kind(422, "cursor-invalid", "the cursor is none of this list", "begin without one"),
    kind(422, "data-invalid", "the template cannot be filled with this data", "mend the data as the detail says"),
    kind(422, "data-too-large", "the data is too large", "send less of it: the message is for a phone's screen"),
    kind(
        422,
        "expired",
        "it would be over before it could be sent",
        "send it with a later `expires_at`, or not at all",
    ),
    kind(422, "filter-empty", "the filter is for everything", "name what the act is for: a state at least"),
    kind(422, "key-invalid", "no idempotency key can be that", "use 1 to 255 visible ASCII characters"),
    kind(
        422,
        "key-name-invalid",
        "no key can be called that",
        "use letters, digits, `-`, `_` and `.`; at most 64 bytes",
    ),
    kind(422, "key-taken", "the idempotency key belongs to another request", "use a new key for a new request"),
    kind(422, "note-too-long", "the note is too long", "say it shorter"),
    kind(
        422,
        "push-unreadable",
        "the plugin could not read the push",
        "look at the engine's log, and tell the plugin's author",
    ),
    kind(422, "rate-invalid", "that is no rate", "write it as in `50/s`"),
    kind(422, "recipient-invalid", "no recipient can be that", "mend it as the detail says"),
    kind(422, "recipient-suppressed", "the recipient is told nothing", "do not send; `GET /v1/suppressions` says why"),
    kind(422, "scope-unknown", "there is no such scope", "name one or more of send, collect, read, operate"),
    kind(422, "skips-too-many", "too many times to leave out", "pause the schedule instead"),
    kind(
        422,
        "state-goes-on",
        "messages in that state are on their way by themselves",
        "name a state of those that stopped",
    ),
    kind(422, "state-unfit", "no message in that state takes this act", "name one of the states that the detail lists"),
    kind(422, "time-invalid", "that is no time", "write it as the detail says: RFC 3339, not too far ahead"),
    kind(429, "rate", "too many calls", "send again after the time that the header `Retry-After` says"),
    kind(503, "audience-away", "the audience cannot be had now", "look at where it comes from; ask again later"),
    kind(503, "busy", "too much at once", "send again after the time that the header `Retry-After` says"),
    kind(
        503,
        "plugin-absent",
        "a plugin that is needed does not work now",
        "look at `GET /v1/plugins`; send again when it is back",
    ),
    kind(503, "stopping", "the engine is stopping", "send again when it is back"),
    kind(503, "store", "the store did not do it", "send again; if it stays so, the engine's log has more"),
    kind(503, "too-many-readers", "too many read along", "come again after `Retry-After`, or ask the lists"),
    kind(503, "token", "no token could be fetched", "look at `GET /v1/tokens` for why"),
    kind(507, "store-full", "the disk is full", "make room on the disk of the store; it goes on by itself then"),
];

/// The kind with that code.
pub(super) fn find(code: &str) -> Option<&'static Kind> {
    CATALOGUE.iter().find(|kind| kind.code == code)
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::*;

    const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/API.md");
    const BEGIN: &str = "<!-- problems: made of core/api/src/server/catalogue.rs -->\n";
    const END: &str = "<!-- end -->";

    fn table() -> String {
        let mut table = "| Status | Code | It says | What to do |\n|---|---|---|---|\n".to_owned();
        for Kind { code, status, title, remedy } in CATALOGUE {
            table.push_str(&format!("| {status} | `{code}` | {title} | {remedy} |\n"));
        }
        table
    }

    /// With TIDINGS_WRITE_DOCS set, the page is written instead of compared.
    #[test]
    fn the_page_has_every_problem_of_the_catalogue() {
        let page = std::fs::read_to_string(PAGE).unwrap();
        let (before, rest) = page.split_once(BEGIN).unwrap();
        let (found, after) = rest.split_once(END).unwrap();
        if std::env::var_os("TIDINGS_WRITE_DOCS").is_some() {
            std::fs::write(PAGE, format!("{before}{BEGIN}{}{END}{after}", table())).unwrap();
            return;
        }
        assert!(
            found == table(),
            "docs/API.md is old; run this test with TIDINGS_WRITE_DOCS=1. It must have:\n{}",
            table()
        );
    }

    /// The sources that answer with problems, without their spaces, so that a code stands beside what it is given to.
    fn sources() -> String {
        fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    walk(&path, found);
                } else if path.extension().is_some_and(|end| end == "rs") && !path.ends_with("catalogue.rs") {
                    found.push(path);
                }
            }
        }
        let (mut files, api) = (Vec::new(), Path::new(env!("CARGO_MANIFEST_DIR")));
        walk(&api.join("src/server"), &mut files);
        walk(&api.join("../engine/src"), &mut files);
        let text: String = files.iter().map(|file| std::fs::read_to_string(file).unwrap()).collect();
        text.chars().filter(|c| !c.is_whitespace()).collect()
    }

    /// What stands in quotes behind each place of `call`.
    fn codes<'t>(text: &'t str, call: &str) -> Vec<&'t str> {
        text.split(call).skip(1).filter_map(|rest| rest.strip_prefix('"')?.split('"').next()).collect()
    }

    #[test]
    fn every_code_that_is_used_is_in_the_catalogue_and_every_one_there_is_used() {
        let sources = sources();
        let mut used = 0;
        for (call, status) in [
            ("Refusal::invalid(", Some(422)),
            ("Refusal::not_found(", Some(404)),
            ("Refusal::new(Class::Invalid,", Some(422)),
            ("Refusal::new(Class::NotFound,", Some(404)),
            ("Refusal::new(Class::Conflict,", Some(409)),
            ("Refusal::new(Class::Forbidden,", Some(403)),
            ("Refusal::new(Class::Unavailable,", Some(503)),
            ("Refusal::new(Class::Full,", Some(507)),
            ("Refusal{code:", None),
            ("listed(", None),
        ] {
            for code in codes(&sources, call) {
                let kind = find(code).unwrap_or_else(|| panic!("`{code}` is not in the catalogue"));
                assert!(
                    status.is_none_or(|status| status == kind.status),
                    "`{code}` is {} and used by {call}",
                    kind.status
                );
                used += 1;
            }
        }
        assert!(used > 30, "{used} places were found");
        for kind in CATALOGUE {
            assert!(sources.contains(&format!("\"{}\"", kind.code)), "nobody answers `{}`", kind.code);
        }
    }
}
