-- +goose Up

-- The table of CAST, for programs and people who look into its database: the counts of the ballot cast, and nothing else.
-- version is the admission number of the last vote for the candidate that was applied: one sequence, one more a request, the same
-- for all candidates of a request. id is the place by name, so a new name moves those behind it: it is there because it was.
CREATE VIEW votes AS
    SELECT row_number() OVER (ORDER BY username COLLATE "C") AS id, username, votes AS count, version
    FROM user_votes WHERE ballot = 'cast';

-- +goose Down
DROP VIEW votes;
