-- +goose Up

-- Which epoch is on, and who the ledger is: one row in all. Whoever changes it first takes
-- LOCK TABLE ledger_epoch IN EXCLUSIVE MODE, since FOR UPDATE alone starves behind overlapping sharers.
CREATE TABLE ledger_epoch (
    id         smallint    PRIMARY KEY DEFAULT 1 CHECK (id = 1),
    epoch      bigint      NOT NULL,
    mode       text        NOT NULL CHECK (mode IN ('redis', 'pg')),
    state      text        NOT NULL CHECK (state IN ('open', 'ending', 'sealed')),
    ns         text        NOT NULL, -- the random name under which the epoch's Redis keys stand
    replid     text        NOT NULL, -- master_replid of the Redis primary at load; empty where Redis has none
    replicated boolean     NOT NULL, -- a replica was there, so a barrier by "the new one answers" is not enough
    reason     text        NOT NULL, -- why the epoch is ending, or why it began
    changed_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE ballots (
    ballot             text        PRIMARY KEY CHECK (ballot ~ '^[a-z0-9-]{1,64}$'),
    state              text        NOT NULL DEFAULT 'open' CHECK (state IN ('draft', 'open', 'paused', 'closed', 'certified')),
    candidates         text[],                             -- the closed list; null where any name will do
    max_candidates     bigint      NOT NULL DEFAULT 10000, -- how many names an open list may grow to
    ticket_cap         bigint CHECK (ticket_cap > 0),      -- null means none
    ticket_interval_ms bigint      NOT NULL CHECK (ticket_interval_ms > 0),
    opens_at           timestamptz,
    closes_at          timestamptz,
    created_at         timestamptz NOT NULL DEFAULT now()
);

INSERT INTO ballots (ballot, candidates, ticket_cap, ticket_interval_ms) VALUES
    ('main', string_to_array('A,B,C,D,E,F,G,H,I,J,K,L,M,N,O,P,Q,R,S,T,U,V,W,X,Y,Z', ','), 1000, 2000),
    ('cast', NULL, 100, 2000),
    ('tiny', NULL, NULL, 2000);

-- Committed before the ballot's marker is made in Redis, once an epoch: a marker missing with the row there is lost.
CREATE TABLE ballot_ns (
    epoch  bigint NOT NULL,
    ballot text   NOT NULL REFERENCES ballots,
    PRIMARY KEY (epoch, ballot)
);

-- Every process that reads or writes the Redis ledger. Heartbeats go here, never to ledger_epoch.
CREATE TABLE participants (
    id          text        PRIMARY KEY,
    service     text        NOT NULL,
    epoch       bigint      NOT NULL, -- the epoch it works in
    stopped     boolean     NOT NULL,
    lease_until timestamptz NOT NULL
);

-- Persisters: no part of the barrier. A producer writes format n only when every live persister reads n.
CREATE TABLE persisters (
    id           text        PRIMARY KEY,
    reads_format integer     NOT NULL,
    lease_until  timestamptz NOT NULL
);

-- Once-ness comes from here. Partitioned by the id itself, a UUIDv7: partitions are dropped when the topic has
-- forgotten their records.
CREATE TABLE applied_batches (
    batch_id uuid   PRIMARY KEY,
    epoch    bigint NOT NULL
) PARTITION BY RANGE (batch_id);
CREATE TABLE applied_batches_default PARTITION OF applied_batches DEFAULT;

-- The ledger: signed deltas, one row per vote and candidate.
CREATE TABLE vote_logs (
    vote_id        uuid        NOT NULL,
    ballot         text        NOT NULL,
    username       text        NOT NULL,
    delta          bigint      NOT NULL,
    ticket_version text        NOT NULL,
    voter          text        NOT NULL,
    voted_at       timestamptz NOT NULL, -- the clock of admission
    epoch          bigint      NOT NULL,
    admission      bigint      NOT NULL, -- the admission number: one sequence per ballot
    batch_id       uuid        NOT NULL
) PARTITION BY RANGE (voted_at);
CREATE TABLE vote_logs_default PARTITION OF vote_logs DEFAULT;
CREATE INDEX vote_logs_vote ON vote_logs (ballot, vote_id);
CREATE INDEX vote_logs_admission ON vote_logs USING brin (admission);

CREATE TABLE user_votes (
    ballot     text        NOT NULL,
    username   text        NOT NULL,
    votes      bigint      NOT NULL,
    version    bigint      NOT NULL, -- the highest admission number applied
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (ballot, username)
) WITH (fillfactor = 50);

CREATE TABLE vote_keys (
    ballot    text  NOT NULL,
    key       uuid  NOT NULL, -- the idempotency key, which is the vote id
    body_hash bytea NOT NULL,
    batch_id  uuid  NOT NULL,
    PRIMARY KEY (ballot, key)
) PARTITION BY HASH (key);
CREATE TABLE vote_keys_0 PARTITION OF vote_keys FOR VALUES WITH (MODULUS 4, REMAINDER 0);
CREATE TABLE vote_keys_1 PARTITION OF vote_keys FOR VALUES WITH (MODULUS 4, REMAINDER 1);
CREATE TABLE vote_keys_2 PARTITION OF vote_keys FOR VALUES WITH (MODULUS 4, REMAINDER 2);
CREATE TABLE vote_keys_3 PARTITION OF vote_keys FOR VALUES WITH (MODULUS 4, REMAINDER 3);

-- Uses counted by the ledger. The row may be made by the events before the minter's own write arrives.
CREATE TABLE tickets (
    ballot     text        NOT NULL,
    version    text        NOT NULL,
    value      text,        -- null until the minter's write arrives, like the four below
    cap        bigint,      -- null also where there is no cap
    created_at timestamptz,
    expires_at timestamptz,
    used       bigint      NOT NULL DEFAULT 0,
    PRIMARY KEY (ballot, version)
) WITH (fillfactor = 50);

-- One row per ticket ever minted, never changed.
CREATE TABLE ticket_history (
    ballot      text        NOT NULL,
    version     text        NOT NULL,
    value       text        NOT NULL,
    cap         bigint,
    created_at  timestamptz NOT NULL,
    expires_at  timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (ballot, version)
);

-- How far each partition of the topic is applied. Moves by compare-and-set in the transaction of its effect.
CREATE TABLE offsets (
    topic_id     uuid        NOT NULL,
    partition    integer     NOT NULL,
    next         bigint      NOT NULL,
    caught_up_at timestamptz NOT NULL, -- every record appended before this moment is applied
    PRIMARY KEY (topic_id, partition)
) WITH (fillfactor = 50);

-- Records of ours that had no effect: their epoch was over, or their ballot was certified.
CREATE TABLE dropped_batches (
    batch_id   uuid        PRIMARY KEY,
    epoch      bigint      NOT NULL,
    ballot     text        NOT NULL,
    reason     text        NOT NULL CHECK (reason IN ('epoch_over', 'certified')),
    record     bytea       NOT NULL,
    dropped_at timestamptz NOT NULL DEFAULT now()
);

-- +goose Down
DROP TABLE dropped_batches, offsets, ticket_history, tickets, vote_keys, user_votes, vote_logs, applied_batches,
    persisters, participants, ballot_ns, ballots, ledger_epoch;
