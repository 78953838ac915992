-- A store of schema 5 with rows in every table: the one of schema 4, brought on by its migration.
BEGIN TRANSACTION;
CREATE TABLE acted (
    message_id INTEGER NOT NULL,
    audit_id   INTEGER NOT NULL,
    PRIMARY KEY (message_id, audit_id)
) WITHOUT ROWID, STRICT;
INSERT INTO "acted" VALUES(1,2);
CREATE TABLE api_key (
    name       TEXT PRIMARY KEY,
    hash       TEXT    NOT NULL UNIQUE,
    scopes     TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    created_by TEXT    NOT NULL,
    -- Not after; null for as long as it is not revoked.
    expires_at INTEGER,
    revoked_at INTEGER
) WITHOUT ROWID, STRICT;
INSERT INTO "api_key" VALUES('old','11ff','send',1600000000000,'local',1650000000000,1700000000000);
INSERT INTO "api_key" VALUES('ops','00ff','operate,read',1700000000000,'local',NULL,NULL);
CREATE TABLE app (
    name        TEXT PRIMARY KEY,
    -- Which settings were halted: other settings lift the halt by themselves.
    fingerprint TEXT,
    halted_at   INTEGER,
    halt_reason TEXT
) WITHOUT ROWID, STRICT;
INSERT INTO "app" VALUES('shop','f00d',1700000000000,'40164: not in whitelist');
CREATE TABLE attempt (
    message_id INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    started_at INTEGER NOT NULL,
    ended_at   INTEGER NOT NULL,
    outcome    TEXT    NOT NULL,
    detail     TEXT    NOT NULL,
    PRIMARY KEY (message_id, generation)
) WITHOUT ROWID, STRICT;
INSERT INTO "attempt" VALUES(1,1,1700000000000,1700000000000,'retry','');
INSERT INTO "attempt" VALUES(2,1,1700000000000,1700000000000,'retry','');
INSERT INTO "attempt" VALUES(4,1,1700000000000,1700000000000,'retry','');
INSERT INTO "attempt" VALUES(5,1,1700000000000,1700000000000,'retry','');
INSERT INTO "attempt" VALUES(6,1,1700000000000,1700000000000,'retry','');
CREATE TABLE audit (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    at      INTEGER NOT NULL,
    -- A key's name, `local`, or what in the engine did it.
    who     TEXT    NOT NULL,
    -- What was done, as in `channel.pause`.
    act     TEXT    NOT NULL,
    -- To what: a message, a channel, a key.
    subject TEXT    NOT NULL,
    why     TEXT,
    -- How many it moved, of a bulk act; what changed, of a config.
    detail  TEXT
, count INTEGER) STRICT;
INSERT INTO "audit" VALUES(1,1700000000000,'local','channel.pause','order-updates','a test',NULL,NULL);
INSERT INTO "audit" VALUES(2,1700000000001,'ops','messages.retry','failed',NULL,'7 moved',7);
CREATE TABLE body (
    message_id INTEGER PRIMARY KEY,
    data       TEXT NOT NULL
, trace TEXT) STRICT;
INSERT INTO "body" VALUES(1,'{"title":"已付款"}','00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01');
INSERT INTO "body" VALUES(2,'{}',NULL);
INSERT INTO "body" VALUES(3,'{}',NULL);
INSERT INTO "body" VALUES(4,'{}',NULL);
INSERT INTO "body" VALUES(5,'{}',NULL);
INSERT INTO "body" VALUES(6,'{}',NULL);
INSERT INTO "body" VALUES(7,'{}',NULL);
INSERT INTO "body" VALUES(8,'{}',NULL);
INSERT INTO "body" VALUES(9,'{}',NULL);
INSERT INTO "body" VALUES(10,'{}',NULL);
INSERT INTO "body" VALUES(11,'{}',NULL);
CREATE TABLE channel (
    id          INTEGER PRIMARY KEY,
    name        TEXT NOT NULL UNIQUE,
    -- An operator's pause: who and why. NULL while it runs.
    paused_at   INTEGER,
    pause_note  TEXT,
    -- Until when the provider wants no more, and what it said.
    closed_until  INTEGER,
    closed_reason TEXT,
    -- GCRA state, microseconds; written with the claims it allowed.
    arrival_us  INTEGER NOT NULL DEFAULT 0
) STRICT;
INSERT INTO "channel" VALUES(1,'free',1700000000000,'stocktaking',1700003600000,'45009',0);
INSERT INTO "channel" VALUES(2,'bound',NULL,NULL,NULL,NULL,0);
INSERT INTO "channel" VALUES(3,'sister',NULL,NULL,NULL,NULL,0);
CREATE TABLE credential (
    id               INTEGER PRIMARY KEY AUTOINCREMENT,
    app              TEXT    NOT NULL,
    source           TEXT    NOT NULL,
    recipient        TEXT    NOT NULL,
    scope            TEXT,
    value            TEXT    NOT NULL,
    identity         TEXT,
    uses_left        INTEGER NOT NULL,
    expires_at       INTEGER,
    bound_to         INTEGER,
    created_at       INTEGER NOT NULL, made_at INTEGER,
    UNIQUE (app, source, identity)
) STRICT;
INSERT INTO "credential" VALUES(1,'shop','wechat.form_id','ann',NULL,'canary-7f3a-a','a',1,1700086400000,1,1700000000000,NULL);
INSERT INTO "credential" VALUES(2,'shop','wechat.prepay_id','ben',NULL,'canary-7f3a-b','b',3,1700086400000,NULL,1700000000000,NULL);
INSERT INTO "credential" VALUES(3,'shop','wechat.grant','cho','scope-paid','canary-7f3a-',NULL,1,NULL,NULL,1700000000000,NULL);
INSERT INTO "credential" VALUES(4,'shop','wechat.form_id','ann',NULL,'canary-7f3a-z','z',1,1700086400000,NULL,1700000000000,NULL);
INSERT INTO "credential" VALUES(5,'shop','wechat.form_id','gus',NULL,'canary-7f3a-g','g',1,1700086400000,11,1700003600000,1700000000000);
CREATE TABLE firing (
    schedule   TEXT    NOT NULL,
    nominal_at INTEGER NOT NULL,
    verdict    TEXT    NOT NULL,
    decided_at INTEGER NOT NULL,
    run_id     INTEGER,
    PRIMARY KEY (schedule, nominal_at)
) WITHOUT ROWID, STRICT;
INSERT INTO "firing" VALUES('digest',1700000000000,'missed',1700003600000,NULL);
INSERT INTO "firing" VALUES('digest',1700003600000,'fired',1700003600000,1);
CREATE TABLE idempotency (
    key        TEXT PRIMARY KEY,
    message_id INTEGER NOT NULL,
    body_hash  INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) WITHOUT ROWID, STRICT;
INSERT INTO "idempotency" VALUES('k-1',1,42,1700259200000);
CREATE TABLE message (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    channel_id   INTEGER NOT NULL,
    template_id  INTEGER NOT NULL,
    recipient    TEXT    NOT NULL,
    state        INTEGER NOT NULL,
    priority     INTEGER NOT NULL,
    due_at       INTEGER NOT NULL,
    generation   INTEGER NOT NULL DEFAULT 0,
    attempts     INTEGER NOT NULL DEFAULT 0,
    rescues      INTEGER NOT NULL DEFAULT 0,
    ambiguous    INTEGER NOT NULL DEFAULT 0,
    claimed_at   INTEGER,
    -- The first try that may have reached the provider: where its dedupe window begins.
    first_try_at INTEGER,
    expires_at   INTEGER,
    created_at   INTEGER NOT NULL,
    finished_at  INTEGER,
    reason       TEXT,
    detail       TEXT,
    provider_id  TEXT,
    run_id       INTEGER
) STRICT;
INSERT INTO "message" VALUES(1,2,1,'ann',3,3,1700000000000,2,1,0,1,1700003600000,1700000000000,NULL,1700000000000,NULL,'test',NULL,NULL,NULL);
INSERT INTO "message" VALUES(2,1,1,'ann',4,0,1700003600000,1,1,0,0,1700003600000,1700003600000,NULL,1700003600000,NULL,'test',NULL,NULL,NULL);
INSERT INTO "message" VALUES(3,1,1,'ann',5,0,1700003600000,1,1,0,0,1700003600000,1700003600000,NULL,1700003600000,1700003600000,NULL,NULL,'3557254367693750277',NULL);
INSERT INTO "message" VALUES(4,1,1,'ann',7,0,1700003600000,1,1,0,0,1700003600000,1700003600000,NULL,1700003600000,1700003600000,'test',NULL,NULL,NULL);
INSERT INTO "message" VALUES(5,1,1,'ann',8,0,1700003600000,1,1,0,1,1700003600000,1700003600000,NULL,1700003600000,1700003600000,'test',NULL,NULL,NULL);
INSERT INTO "message" VALUES(6,1,1,'ann',9,0,1700003600000,1,1,0,0,1700003600000,1700003600000,NULL,1700003600000,1700003600000,'test',NULL,NULL,NULL);
INSERT INTO "message" VALUES(7,1,1,'dan',10,0,1700003600000,1,0,0,0,NULL,NULL,NULL,1700003600000,1700003600000,'cancelled','by hand',NULL,NULL);
INSERT INTO "message" VALUES(8,3,1,'eve',0,0,1700090000000,0,0,0,0,NULL,NULL,1700176400000,1700003600000,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "message" VALUES(9,2,1,'nobody',2,0,1700003600000,0,0,0,0,NULL,NULL,NULL,1700003600000,NULL,'no_credential','waits for a usable credential of this recipient',NULL,NULL);
INSERT INTO "message" VALUES(10,1,1,'fay',1,0,1700003600000,0,0,0,0,NULL,NULL,NULL,1700003600000,NULL,NULL,NULL,NULL,1);
INSERT INTO "message" VALUES(11,3,1,'gus',3,0,1700003600000,1,0,0,0,1700003600000,1700003600000,NULL,1700003600000,NULL,NULL,NULL,NULL,NULL);
CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID, STRICT;
INSERT INTO "meta" VALUES('instance','07b1bf043088');
CREATE TABLE notice (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    webhook    TEXT    NOT NULL,
    -- What happened, as in `message.sent`, when, and about what: a JSON object.
    event      TEXT    NOT NULL,
    happened_at INTEGER NOT NULL,
    data       TEXT    NOT NULL,
    attempts   INTEGER NOT NULL DEFAULT 0,
    due_at     INTEGER NOT NULL,
    detail     TEXT
) STRICT;
INSERT INTO "notice" VALUES(1,'crm','message.sent',1700000000000,'{"id":"m_1"}',0,1700000000000,NULL);
CREATE TABLE receipt (
    app         TEXT    NOT NULL,
    provider_id TEXT    NOT NULL,
    -- 1 delivered, 0 not
    delivered   INTEGER NOT NULL,
    detail      TEXT    NOT NULL,
    received_at INTEGER NOT NULL,
    PRIMARY KEY (app, provider_id)
) WITHOUT ROWID, STRICT;
INSERT INTO "receipt" VALUES('shop','early-1',1,'',1700000000000);
INSERT INTO "receipt" VALUES('shop','early-2',0,'WeChat did not deliver it: user block',1700000000001);
CREATE TABLE run (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    schedule   TEXT    NOT NULL,
    nominal_at INTEGER NOT NULL,
    job        TEXT    NOT NULL,
    -- 0 running, 1 done, 2 failed
    state      INTEGER NOT NULL,
    started_at INTEGER NOT NULL,
    ended_at   INTEGER,
    done       INTEGER NOT NULL DEFAULT 0,
    total      INTEGER,
    result     TEXT
) STRICT;
INSERT INTO "run" VALUES(1,'digest',1700003600000,'send digest',1,1700003600000,1700003600000,1,1,'1 sent');
INSERT INTO "run" VALUES(2,'digest',1700007200000,'send notice to rows.csv',0,1700007200001,NULL,500,NULL,NULL);
CREATE TABLE schedule (
    name       TEXT PRIMARY KEY,
    definition TEXT NOT NULL,
    -- The last nominal time that has a verdict. It never moves back.
    cursor_at  INTEGER NOT NULL,
    next_at    INTEGER,
    paused_at  INTEGER,
    pause_note TEXT
) WITHOUT ROWID, STRICT;
INSERT INTO "schedule" VALUES('digest','0 9 * * 1-5',1700003600000,1700086400000,NULL,NULL);
CREATE TABLE suppression (
    app        TEXT    NOT NULL,
    recipient  TEXT    NOT NULL,
    reason     TEXT    NOT NULL,
    who        TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    PRIMARY KEY (app, recipient)
) WITHOUT ROWID, STRICT;
INSERT INTO "suppression" VALUES('shop','oBen','asked us to','local',1700000000000,NULL);
CREATE TABLE tally (
    channel_id INTEGER NOT NULL,
    state      INTEGER NOT NULL,
    count      INTEGER NOT NULL,
    PRIMARY KEY (channel_id, state)
) WITHOUT ROWID, STRICT;
INSERT INTO "tally" VALUES(1,1,1);
INSERT INTO "tally" VALUES(1,3,0);
INSERT INTO "tally" VALUES(1,4,1);
INSERT INTO "tally" VALUES(1,5,1);
INSERT INTO "tally" VALUES(1,7,1);
INSERT INTO "tally" VALUES(1,8,1);
INSERT INTO "tally" VALUES(1,9,1);
INSERT INTO "tally" VALUES(1,10,1);
INSERT INTO "tally" VALUES(2,1,0);
INSERT INTO "tally" VALUES(2,2,1);
INSERT INTO "tally" VALUES(2,3,1);
INSERT INTO "tally" VALUES(3,0,1);
INSERT INTO "tally" VALUES(3,1,0);
INSERT INTO "tally" VALUES(3,3,1);
CREATE TABLE template (
    id   INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
) STRICT;
INSERT INTO "template" VALUES(1,'paid');
INSERT INTO "template" VALUES(2,'shipped');
CREATE TABLE token (
    app        TEXT PRIMARY KEY,
    -- Which account it was fetched for: the app may be configured to another since.
    account    TEXT    NOT NULL,
    value      TEXT,
    generation INTEGER NOT NULL,
    fetched_at INTEGER,
    expires_at INTEGER,
    -- The day of the provider's calendar that `fetches` counts.
    day        INTEGER NOT NULL,
    fetches    INTEGER NOT NULL
) WITHOUT ROWID, STRICT;
INSERT INTO "token" VALUES('shop','account','canary-token',2,1700000000000,1700007200000,19675,3);
CREATE TABLE webhook (
    name            TEXT PRIMARY KEY,
    failing_since   INTEGER,
    disabled_at     INTEGER,
    disabled_reason TEXT,
    given_up        INTEGER NOT NULL DEFAULT 0,
    dropped         INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID, STRICT;
INSERT INTO "webhook" VALUES('crm',1700000000000,1700000050000,'500 for a day',3,1);
CREATE INDEX message_scheduled ON message (due_at, id) WHERE state = 0;
CREATE INDEX message_queued    ON message (channel_id, priority DESC, due_at, id) WHERE state = 1;
CREATE INDEX message_waiting   ON message (recipient, id) WHERE state = 2;
CREATE INDEX message_sending   ON message (id) WHERE state = 3;
CREATE INDEX message_expiring  ON message (expires_at, id) WHERE expires_at IS NOT NULL AND state IN (0, 1, 2, 4);
CREATE INDEX credential_free ON credential (recipient, app, source, expires_at, scope, uses_left, bound_to)
    WHERE bound_to IS NULL AND uses_left > 0;
CREATE UNIQUE INDEX credential_bound ON credential (bound_to) WHERE bound_to IS NOT NULL;
CREATE INDEX run_running ON run (id) WHERE state = 0;
CREATE INDEX run_of_schedule ON run (schedule, id);
CREATE INDEX message_dead_reason ON message (state, channel_id, reason, template_id, finished_at, due_at)
    WHERE state = 4 OR state = 7 OR state = 8 OR state = 9 OR state = 10;
CREATE INDEX message_dead ON message (state, id, channel_id, reason, template_id, ambiguous)
    WHERE state = 4 OR state = 7 OR state = 8 OR state = 9 OR state = 10;
CREATE UNIQUE INDEX run_once ON run (schedule, nominal_at);
CREATE INDEX notice_due ON notice (webhook, due_at, id);
CREATE INDEX message_provider ON message (provider_id) WHERE provider_id IS NOT NULL;
CREATE INDEX audit_subject ON audit (subject, id);
CREATE INDEX notice_age ON notice (webhook, id);
CREATE INDEX suppression_expiring ON suppression (expires_at) WHERE expires_at IS NOT NULL;
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('credential',5);
INSERT INTO "sqlite_sequence" VALUES('message',11);
INSERT INTO "sqlite_sequence" VALUES('run',2);
INSERT INTO "sqlite_sequence" VALUES('audit',2);
INSERT INTO "sqlite_sequence" VALUES('notice',1);
COMMIT;
