-- +goose Up

-- A ballot's full name is "name" for the default tenant, "tenant.name" for another.
ALTER TABLE ballots
    DROP CONSTRAINT ballots_ballot_check,
    ADD CONSTRAINT ballots_ballot_check CHECK (ballot ~ '^([a-z0-9-]{1,32}\.)?[a-z0-9-]{1,64}$'),
    ADD COLUMN title             text    NOT NULL DEFAULT '',
    ADD COLUMN candidate_pattern text,                          -- of a whole name; null: any. Only without a closed list
    ADD COLUMN ticketless        boolean NOT NULL DEFAULT false,
    ADD COLUMN ticket_form       text    NOT NULL DEFAULT 'signed' CHECK (ticket_form IN ('signed', 'hmac', 'uuid')),
    ADD COLUMN voter_period_ms   bigint CHECK (voter_period_ms > 0), -- null: the limit per voter is for life
    ADD COLUMN limit_scope       text    NOT NULL DEFAULT 'ballot' CHECK (limit_scope IN ('ballot', 'candidate')),
    ADD COLUMN visibility        text    NOT NULL DEFAULT 'always'
        CHECK (visibility IN ('always', 'after_vote', 'after_close', 'never')),
    ADD COLUMN hot_for_ms        bigint CHECK (hot_for_ms > 0),      -- null: no candidate is hot
    ADD CONSTRAINT ballots_ticketless_check CHECK (NOT ticketless OR votes_per_voter IS NOT NULL),
    ADD CONSTRAINT ballots_scope_check CHECK (limit_scope = 'ballot' OR votes_per_voter IS NOT NULL),
    ADD CONSTRAINT ballots_hot_check CHECK (hot_for_ms IS NULL OR limit_scope = 'candidate');
UPDATE ballots SET ticket_form = 'hmac' WHERE ballot = 'cast';
UPDATE ballots SET ticket_form = 'uuid' WHERE ballot = 'tiny';

-- What a voter's vote is for, where that is one candidate; and when it was admitted: for limits per candidate or period.
ALTER TABLE voter_votes
    ADD COLUMN candidate text NOT NULL DEFAULT '',
    ADD COLUMN voted_at  timestamptz;
UPDATE voter_votes v SET candidate = l.candidate, voted_at = l.voted_at
FROM (
    SELECT ballot, voter_id, vote_id, CASE WHEN count(DISTINCT username) = 1 THEN min(username) ELSE '' END AS candidate,
        min(voted_at) AS voted_at
    FROM vote_logs WHERE voter_id IS NOT NULL AND retracts IS NULL GROUP BY ballot, voter_id, vote_id
) l
WHERE v.ballot = l.ballot AND v.voter = l.voter_id AND v.vote_id = l.vote_id;
CREATE INDEX voter_votes_candidate ON voter_votes (ballot, candidate COLLATE "C", voted_at) WHERE candidate <> '' AND NOT retracted;
CREATE INDEX voter_votes_time ON voter_votes (ballot, voter, voted_at);
CREATE INDEX voter_votes_item ON voter_votes (ballot, voter, candidate) WHERE candidate <> '' AND NOT retracted;

-- Ranges of admitted votes that do not count, once a second organiser has agreed.
CREATE TABLE voids (
    void_id         uuid        PRIMARY KEY,
    ballot          text        NOT NULL REFERENCES ballots,
    first_admission bigint      NOT NULL CHECK (first_admission > 0),
    last_admission  bigint      NOT NULL,
    reason          text        NOT NULL,
    proposed_by     text        NOT NULL,
    proposed_at     timestamptz NOT NULL DEFAULT now(),
    approved_by     text,
    approved_at     timestamptz,
    votes           bigint      NOT NULL DEFAULT 0, -- taken out of the count
    CHECK (last_admission >= first_admission),
    CHECK (approved_by <> proposed_by)
);
CREATE INDEX voids_ballot ON voids (ballot, proposed_at);
ALTER TABLE vote_logs ADD COLUMN void_id uuid; -- in a row that takes a vote out of the count: by which void

ALTER TABLE results
    ADD COLUMN voided bigint NOT NULL DEFAULT 0,
    ADD COLUMN signed text   NOT NULL DEFAULT ''; -- the result as a JWS in compact form

-- What organisers did. Written in the transaction of its effect, never changed.
CREATE TABLE audit (
    id      bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    actor   text        NOT NULL,
    action  text        NOT NULL,
    ballot  text        NOT NULL,
    details jsonb       NOT NULL
);
CREATE INDEX audit_ballot ON audit (ballot, id);

-- +goose Down
DROP TABLE audit;
ALTER TABLE results DROP COLUMN signed, DROP COLUMN voided;
ALTER TABLE vote_logs DROP COLUMN void_id;
DROP TABLE voids;
DROP INDEX voter_votes_item, voter_votes_time, voter_votes_candidate;
ALTER TABLE voter_votes DROP COLUMN voted_at, DROP COLUMN candidate;
ALTER TABLE ballots
    DROP CONSTRAINT ballots_hot_check, DROP CONSTRAINT ballots_scope_check, DROP CONSTRAINT ballots_ticketless_check,
    DROP COLUMN hot_for_ms, DROP COLUMN visibility, DROP COLUMN limit_scope, DROP COLUMN voter_period_ms,
    DROP COLUMN ticket_form, DROP COLUMN ticketless, DROP COLUMN candidate_pattern, DROP COLUMN title,
    DROP CONSTRAINT ballots_ballot_check,
    ADD CONSTRAINT ballots_ballot_check CHECK (ballot ~ '^[a-z0-9-]{1,64}$');
