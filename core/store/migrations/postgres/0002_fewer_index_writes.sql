-- Every new version of a row is written into every index of its table, whether or not its columns changed. Two indexes
-- are spared that here: what they hold does not change when a message is claimed or ends.

-- Which permits were ever brought. A row of its own, because it is never rewritten, and the permit is at each claim and
-- each outcome: an index of the permit's row would be written then, and, being unique, would first look at every version
-- of that row that is left. It leaves with its permit. The identity comes first: it tells most of them apart.
CREATE TABLE credential_identity (
    identity      text COLLATE "C" NOT NULL,
    source        text COLLATE "C" NOT NULL,
    app           text COLLATE "C" NOT NULL,
    credential_id bigint NOT NULL,
    PRIMARY KEY (identity, source, app)
) WITH (autovacuum_vacuum_scale_factor = 0.05);

INSERT INTO credential_identity (identity, source, app, credential_id)
SELECT identity, source, app, id FROM credential WHERE identity IS NOT NULL;

ALTER TABLE credential DROP CONSTRAINT credential_app_source_identity_key;

-- A recipient's messages: those that are being sent are not in it. They are few, and found by their state.
DROP INDEX message_by_recipient;
CREATE INDEX message_hot_by_recipient    ON message_hot    (recipient, id) WHERE state <> 3;
CREATE INDEX message_done_by_recipient   ON message_done   (recipient, id);
CREATE INDEX message_failed_by_recipient ON message_failed (recipient, id);
