package pgledger

// checks are all comparisons inside Postgres, in the order in which they are reported.
var checks = []check{
	{"tally", "the ledger adds up to %[1]d, user_votes says %[2]d", `
		SELECT ballot, username, coalesce(l.votes, 0)::bigint, coalesce(u.votes, 0), ''
		FROM (SELECT ballot, username, sum(delta) AS votes FROM vote_logs GROUP BY ballot, username) l
		FULL JOIN user_votes u USING (ballot, username)
		WHERE coalesce(l.votes, 0) <> coalesce(u.votes, 0)
		ORDER BY ballot, username`},
	{"ticket", "%[1]d votes of the ledger used the ticket, tickets.used says %[2]d", `
		SELECT ballot, version, coalesce(l.used, 0), coalesce(t.used, 0), ''
		FROM (` + usesByLedger + `) l FULL JOIN tickets t USING (ballot, version)
		WHERE coalesce(l.used, 0) <> coalesce(t.used, 0)
		ORDER BY ballot, version`},
	{"cap", "the ticket's cap is %[1]d, %[2]d votes used it", `
		SELECT ballot, version, t.cap, greatest(l.used, t.used), ''
		FROM tickets t LEFT JOIN (` + usesByLedger + `) l USING (ballot, version)
		WHERE greatest(l.used, t.used) > t.cap
		ORDER BY ballot, version`},
	{"vote", "the vote stands in more than one batch: %[3]s", `
		SELECT ballot, vote_id::text, 1, count(DISTINCT batch_id), string_agg(DISTINCT batch_id::text, ', ')
		FROM vote_logs JOIN (
			SELECT ballot, vote_id FROM vote_logs WHERE void_id IS NULL
			GROUP BY ballot, vote_id HAVING min(batch_id::text) <> max(batch_id::text)
		) twice USING (ballot, vote_id)
		WHERE void_id IS NULL GROUP BY ballot, vote_id ORDER BY ballot, vote_id`},
	{"row", "the ledger has %[2]d rows for this vote and candidate in batch %[3]s", `
		SELECT ballot, vote_id || ' for ' || username, 1, count(*), batch_id::text
		FROM vote_logs GROUP BY ballot, vote_id, retracts, username, batch_id HAVING count(*) > 1
		ORDER BY ballot, vote_id, username, batch_id`},
	{"retraction", "the vote was taken back by %[2]d retractions, changes or voids: %[3]s", `
		SELECT ballot, retracts::text, 1, count(DISTINCT coalesce(void_id, vote_id)),
			string_agg(DISTINCT coalesce(void_id, vote_id)::text, ', ')
		FROM vote_logs WHERE retracts IS NOT NULL GROUP BY ballot, retracts HAVING count(DISTINCT coalesce(void_id, vote_id)) > 1
		ORDER BY ballot, retracts`},
	{"retraction", "vote and retraction together add %[2]d", `
		SELECT ballot, id || ' for ' || username, 0, sum(delta)::bigint, ''
		FROM (SELECT ballot, username, delta, coalesce(retracts, vote_id) AS id FROM vote_logs) l
		WHERE (ballot, id) IN (SELECT ballot, retracts FROM vote_logs WHERE retracts IS NOT NULL)
			AND EXISTS (SELECT FROM vote_logs v WHERE v.ballot = l.ballot AND v.vote_id = l.id)
		GROUP BY ballot, id, username HAVING sum(delta) <> 0
		ORDER BY ballot, id, username`},
	// A vote is durable before anybody may take it back, so what is applied of that time has it; a minute is for clocks that differ.
	{"retraction", "the ledger lacks the vote that batch %[3]s takes back", `
		SELECT ballot, retracts::text, 1, 0, min(batch_id::text)
		FROM vote_logs l WHERE retracts IS NOT NULL
			AND voted_at < (SELECT min(caught_up_at) FROM offsets) - interval '1 minute'
			AND NOT EXISTS (SELECT FROM vote_logs v WHERE v.ballot = l.ballot AND v.vote_id = l.retracts)
		GROUP BY ballot, retracts ORDER BY ballot, retracts`},
	{"key", "vote_keys has the key in batch %[3]s, the ledger has no such vote", `
		SELECT ballot, key::text, 1, 0, batch_id::text
		FROM vote_keys k WHERE NOT EXISTS (
			SELECT FROM vote_logs l WHERE l.ballot = k.ballot AND l.vote_id = k.key AND l.batch_id = k.batch_id)
		ORDER BY ballot, key`},
	{"batch", "applied_batches has the batch, the ledger has %[2]d rows of it", `
		SELECT '', batch_id::text, 1, 0, ''
		FROM applied_batches a WHERE NOT EXISTS (SELECT FROM vote_logs l WHERE l.batch_id = a.batch_id)
		ORDER BY batch_id`},
	// Ids are forgotten oldest first.
	{"batch", "the ledger has %[2]d rows of the batch, applied_batches does not know it", `
		SELECT min(ballot), batch_id::text, 0, count(*), ''
		FROM vote_logs l WHERE batch_id >= (SELECT batch_id FROM applied_batches ORDER BY batch_id LIMIT 1)
			AND NOT EXISTS (SELECT FROM applied_batches a WHERE a.batch_id = l.batch_id)
		GROUP BY batch_id ORDER BY batch_id`},
	{"batch", "the batch is in applied_batches and in dropped_batches (%[3]s)", `
		SELECT ballot, batch_id::text, 1, 2, reason FROM applied_batches JOIN dropped_batches USING (batch_id) ORDER BY batch_id`},
	{"voter", "voter_votes has this vote of %[3]s", `
		SELECT ballot, vote_id::text, coalesce(l.state, 0), coalesce(v.state, 0), format('%s as %s, the ledger as %s', voter,
			(ARRAY ['absent', 'counting', 'retracted'])[coalesce(v.state, 0) + 1],
			(ARRAY ['absent', 'counting', 'retracted'])[coalesce(l.state, 0) + 1])
		FROM (SELECT ballot, voter, vote_id, CASE WHEN retracted THEN 2 ELSE 1 END AS state FROM (` + votersByLedger + `) l) l
		FULL JOIN (SELECT ballot, voter, vote_id, CASE WHEN retracted THEN 2 ELSE 1 END AS state FROM voter_votes) v
			USING (ballot, voter, vote_id)
		WHERE l.state IS DISTINCT FROM v.state
		ORDER BY ballot, voter, vote_id`},
	{"voter", "voter_votes has this vote of %[3]s", `
		SELECT ballot, vote_id::text, 1, 0, format('%s for %s at %s, the ledger for %s at %s', voter,
			quote_literal(v.candidate), v.voted_at, quote_literal(l.candidate), l.voted_at)
		FROM voter_votes v JOIN (` + votersByLedger + `) l USING (ballot, voter, vote_id)
		WHERE v.voted_at IS NOT NULL AND (v.candidate <> l.candidate OR v.voted_at <> l.voted_at)
		ORDER BY ballot, voter, vote_id`},
	{"limit", "%[2]d votes of the voter count, the ballot allows %[1]d%[3]s", `
		SELECT ballot, voter, votes_per_voter, count(*),
			concat(' for ' || candidate, ' in period ' || period)
		FROM (
			SELECT ballot, voter, votes_per_voter, CASE WHEN limit_scope = 'candidate' THEN candidate END AS candidate,
				(extract(epoch FROM voted_at) * 1000)::bigint / voter_period_ms AS period
			FROM (` + votersByLedger + `) l JOIN ballots USING (ballot) WHERE NOT retracted
		) l
		GROUP BY ballot, voter, votes_per_voter, candidate, period HAVING count(*) > votes_per_voter
		ORDER BY ballot, voter, candidate, period`},
	{"base", "the ledger before epoch %[3]s adds up to %[1]d, epoch_base says %[2]d", `
		SELECT ballot, username, coalesce(l.votes, 0)::bigint, coalesce(b.votes, 0), epoch::text
		FROM (
			SELECT e.epoch, ballot, username, sum(delta) AS votes
			FROM (SELECT DISTINCT epoch FROM epoch_base) e JOIN vote_logs l ON l.epoch < e.epoch GROUP BY e.epoch, ballot, username
		) l
		FULL JOIN epoch_base b USING (epoch, ballot, username)
		WHERE coalesce(l.votes, 0) <> coalesce(b.votes, 0)
		ORDER BY epoch, ballot, username`},
	{"result", "the ledger adds up to %[1]d, the certified result says %[2]d", `
		SELECT ballot, username, coalesce(l.votes, 0)::bigint, coalesce(r.votes, 0), ''
		FROM (
			SELECT ballot, username, sum(delta) AS votes FROM vote_logs
			WHERE ballot IN (SELECT ballot FROM results) GROUP BY ballot, username
		) l
		FULL JOIN (
			SELECT ballot, c.key AS username, c.value::bigint AS votes FROM results, jsonb_each_text(counts) c
		) r USING (ballot, username)
		WHERE coalesce(l.votes, 0) <> coalesce(r.votes, 0)
		ORDER BY ballot, username`},
	{"result", "%[1]d votes of the ledger count, the certified result says %[2]d", `
		SELECT r.ballot, 'votes', l.votes, r.votes, ''
		FROM results r CROSS JOIN LATERAL (
			SELECT count(DISTINCT vote_id) FILTER (WHERE retracts IS NULL) - count(DISTINCT retracts) AS votes
			FROM vote_logs WHERE ballot = r.ballot
		) l
		WHERE l.votes <> r.votes ORDER BY r.ballot`},
	{"result", "the ballot is %[3]s and has %[2]d results", `
		SELECT ballot, 'state', CASE WHEN state = 'certified' THEN 1 ELSE 0 END, count(r.ballot), state
		FROM ballots LEFT JOIN results r USING (ballot)
		GROUP BY ballot, state HAVING (state = 'certified') <> (count(r.ballot) = 1)
		ORDER BY ballot`},
}

const (
	usesByLedger = `
		SELECT ballot, ticket_version AS version, count(DISTINCT vote_id) AS used FROM vote_logs
		WHERE ticket_version <> '' GROUP BY ballot, ticket_version`

	// votersByLedger is what voter_votes must be.
	votersByLedger = `
		SELECT ballot, voter_id AS voter, coalesce(retracts, vote_id) AS vote_id, bool_or(retracts IS NOT NULL) AS retracted,
			CASE WHEN count(DISTINCT username) FILTER (WHERE retracts IS NULL) = 1
				THEN min(username) FILTER (WHERE retracts IS NULL) ELSE '' END AS candidate,
			min(voted_at) FILTER (WHERE retracts IS NULL) AS voted_at
		FROM vote_logs WHERE voter_id IS NOT NULL GROUP BY ballot, voter_id, coalesce(retracts, vote_id)`
)
