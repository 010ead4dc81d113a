//! The tables of the journal.

pub(super) const SCHEMA: &str = "
CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE commands (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    requester TEXT NOT NULL,
    id BLOB NOT NULL,
    expires_at_ms INTEGER NOT NULL,
    state TEXT NOT NULL
        CHECK (state IN ('held', 'cancelled', 'refused', 'started', 'interrupted', 'ended')),
    signing_key TEXT,
    number INTEGER,
    rule TEXT,
    started_at_ms INTEGER,
    kind TEXT,
    status INTEGER,
    reason TEXT,
    output BLOB,
    output_bytes INTEGER NOT NULL DEFAULT 0,
    output_lost INTEGER NOT NULL DEFAULT 0,
    UNIQUE (requester, id)
) STRICT;
CREATE TABLE doors (
    signing_key TEXT PRIMARY KEY,
    highest INTEGER NOT NULL,
    key_ends_at_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX commands_by_rule ON commands (requester, rule, started_at_ms);
CREATE INDEX commands_by_expiry ON commands (expires_at_ms);
CREATE INDEX commands_with_output ON commands (position) WHERE output IS NOT NULL;
";
