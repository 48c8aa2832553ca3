package system

import "strings"

// arguments are the settings that are not about stores.
func (s *Service) arguments() []string {
	ticket, vote, query := s.system.addresses(Ticket), s.system.addresses(Vote), s.system.addresses(Query)
	own := map[Kind][]string{
		Ticket: {
			"--ticket-listen=" + s.Address, "--ticket-key-file=" + s.system.keyFile, "--ticket-lock-key=" + s.system.lockKey,
			"--participant-heartbeat=100ms",
		},
		Vote: {
			"--vote-listen=" + s.Address, "--ticket-key-file=" + s.system.keyFile, "--ballot-sign-key-file=" + s.system.signKey,
			"--participant-lease=5s", "--participant-heartbeat=100ms", "--vote-timeout=3s", "--vote-outbox-lease=3s",
		},
		Query:     {"--query-listen=" + s.Address, "--participant-lease=5s", "--participant-heartbeat=100ms"},
		Persister: {"--persister-listen=" + s.Address, "--participant-heartbeat=100ms"},
		Blog:      {"--blog-listen=" + s.Address, "--vote-target=" + vote, "--query-target=" + query},
		Gateway: {
			"--listen=" + s.Address, "--ticket-key-file=" + s.system.keyFile,
			"--ticket-target=" + ticket, "--vote-target=" + vote, "--query-target=" + query, "--blog-target=" + s.system.addresses(Blog),
			"--auth-issuers=" + issuerName, "--auth-jwks-file=" + s.system.tokens.file,
		},
	}
	all := append([]string{"--admin-listen=" + s.Admin}, own[s.Kind]...)
	if s.system.certificates != nil {
		all = append(all, s.system.certificates.flags(s.Kind)...)
	}
	return all
}

// environment says where the stores are, to the services that have them.
func (s *Service) environment() []string {
	stores := s.system.Stores
	if s.system.config.Way != nil {
		stores = s.system.config.Way(s.Kind, s.index)
	}
	redis := []string{"LITTLEVOTE_REDIS_URL=" + stores.Redis, "LITTLEVOTE_REDIS_POOL_SIZE=50", "LITTLEVOTE_REDIS_TIMEOUT=2s"}
	kafka := []string{
		"LITTLEVOTE_KAFKA_BROKERS=" + strings.Join(stores.Kafka, ","), "LITTLEVOTE_KAFKA_TOPIC_PREFIX=" + stores.TopicPrefix,
	}
	postgres := []string{"LITTLEVOTE_POSTGRES_URL=" + stores.Postgres, "LITTLEVOTE_POSTGRES_POOL_SIZE=5"}
	if stores.PostgresReplica != "" && s.Kind == Query {
		postgres = append(postgres, "LITTLEVOTE_POSTGRES_REPLICA_URL="+stores.PostgresReplica)
	}
	var all []string
	switch s.Kind {
	case Ticket, Query, Blog:
		all = append(append(all, redis...), postgres...)
	case Vote:
		all = append(append(append(all, redis...), kafka...), postgres...)
	case Persister:
		all = append(append(all, kafka...), postgres...)
	case Gateway:
	}
	return all
}
