-- +goose Up

-- held keeps the epoch in Postgres until an operator releases it: for a planned move of Redis.
-- replid is no longer read: each ballot's marker in Redis carries the replication id of the node it was loaded on.
ALTER TABLE ledger_epoch
    ADD COLUMN held boolean NOT NULL DEFAULT false,
    ADD COLUMN opened_at timestamptz NOT NULL DEFAULT now(), -- when an epoch was last opened
    ADD COLUMN stay interval NOT NULL DEFAULT interval '10 seconds', -- least time that the next epoch in Postgres lasts
    ALTER COLUMN replid SET DEFAULT '';

-- Since when this process has had no answer from Redis; null while it answers. One process alone does not end an epoch.
ALTER TABLE participants
    ADD COLUMN redis_away_since timestamptz,
    ADD COLUMN beat_at timestamptz NOT NULL DEFAULT now();

ALTER TABLE ballots
    ADD COLUMN votes_per_voter integer CHECK (votes_per_voter BETWEEN 1 AND 100), -- null: no limit, and no voter needed
    ADD COLUMN rules_version   bigint NOT NULL DEFAULT 1;                         -- grows with every change; the marker in Redis follows it

-- What only an epoch in Postgres needs of a ballot. Whoever decides votes or mints there locks this row first, so
-- each ballot has one writer at a time.
CREATE TABLE pg_ballots (
    epoch       bigint NOT NULL,
    ballot      text   NOT NULL REFERENCES ballots,
    admissions  bigint NOT NULL, -- the last admission number
    last_number bigint NOT NULL, -- of the last ticket minted in this epoch
    fence       bigint NOT NULL, -- the highest that has minted
    PRIMARY KEY (epoch, ballot)
) WITH (fillfactor = 50);

-- The newest ticket by time, in an epoch in Postgres.
CREATE INDEX tickets_newest ON tickets (ballot, created_at);

ALTER TABLE vote_logs
    ADD COLUMN retracts uuid, -- in a retraction's rows the vote that it takes back; null in a vote's own
    ADD COLUMN voter_id text; -- who voted, as authenticated; null where nobody was. The column voter is what was claimed

-- The votes of authenticated voters. A retraction may be applied before its vote, so both only ever add.
CREATE TABLE voter_votes (
    ballot    text    NOT NULL,
    voter     text    NOT NULL,
    vote_id   uuid    NOT NULL,
    retracted boolean NOT NULL,
    PRIMARY KEY (ballot, voter, vote_id)
) WITH (fillfactor = 80);

-- What each count was when the epoch began: the reconciler adds the epoch's ledger rows to it.
CREATE TABLE epoch_base (
    epoch    bigint NOT NULL,
    ballot   text   NOT NULL,
    username text   NOT NULL,
    votes    bigint NOT NULL,
    PRIMARY KEY (epoch, ballot, username)
);

-- Certified results: written once, never changed.
CREATE TABLE results (
    ballot       text        PRIMARY KEY REFERENCES ballots,
    counts       jsonb       NOT NULL, -- candidate → votes, from a recount of the ledger
    votes        bigint      NOT NULL, -- votes that count, retracted ones left out
    certified_at timestamptz NOT NULL DEFAULT now()
);

-- What an operator has done with a dead letter; the letters themselves stand in the dead-letter topic.
CREATE TABLE dead_letters (
    topic_id   uuid        NOT NULL, -- of the dead-letter topic
    partition  integer     NOT NULL,
    "offset"   bigint      NOT NULL,
    action     text        NOT NULL CHECK (action IN ('replayed', 'dropped')),
    handled_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (topic_id, partition, "offset")
);

-- +goose Down
DROP TABLE dead_letters, results, epoch_base, voter_votes, pg_ballots;
DROP INDEX tickets_newest;
ALTER TABLE vote_logs DROP COLUMN retracts, DROP COLUMN voter_id;
ALTER TABLE ballots DROP COLUMN votes_per_voter, DROP COLUMN rules_version;
ALTER TABLE participants DROP COLUMN redis_away_since, DROP COLUMN beat_at;
ALTER TABLE ledger_epoch DROP COLUMN held, DROP COLUMN opened_at, DROP COLUMN stay, ALTER COLUMN replid DROP DEFAULT;
