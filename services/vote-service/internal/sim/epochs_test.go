package sim

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/littlevote/littlevote/libs/epoch"
	"github.com/littlevote/littlevote/libs/pgledger"
	"github.com/littlevote/littlevote/libs/redisledger"
)

// What libs/epoch needs of Postgres.

func (p *postgres) current() (pgledger.Epoch, error) {
	if !p.begun {
		return pgledger.Epoch{}, pgledger.ErrNoEpoch
	}
	e := p.epoch
	e.Rested = !time.Now().Before(p.openedAt.Add(p.stay))
	return e, nil
}

func (d *db) Current(ctx context.Context) (pgledger.Epoch, error) {
	return read(ctx, d, "current", (*postgres).current)
}

func (d *db) Renew(ctx context.Context, b epoch.Beat) (pgledger.Epoch, error) {
	return transact(ctx, d, "renew", func(*tables) (pgledger.Epoch, error) {
		e, err := d.pg.current()
		if err != nil || e.State != "open" {
			return e, err
		}
		p := d.pg.participants[b.ID]
		if p == nil {
			p = &participant{}
			d.pg.participants[b.ID] = p
		}
		now := time.Now()
		p.epoch, p.stopped, p.until, p.beat = e.Number, false, now.Add(b.Lease), now
		switch {
		case !b.RedisAway:
			p.awaySince = time.Time{}
		case p.awaySince.IsZero():
			p.awaySince = now
		}
		return e, nil
	})
}

func (d *db) Stop(ctx context.Context, id string, epoch int64) error {
	_, err := read(ctx, d, "stop", func(p *postgres) (none, error) {
		if m := p.participants[id]; m != nil && m.epoch <= epoch {
			m.stopped = true
		}
		return none{}, nil
	})
	return err
}

func (d *db) Leave(ctx context.Context, id string) error {
	_, err := read(ctx, d, "leave", func(p *postgres) (none, error) {
		delete(p.participants, id)
		return none{}, nil
	})
	return err
}

func (d *db) Begin(ctx context.Context) error {
	_, err := read(ctx, d, "begin", func(p *postgres) (none, error) {
		if !p.begun {
			p.begun = true
			p.epoch = pgledger.Epoch{Number: 1, Mode: string(epoch.Redis), State: "ending"}
		}
		return none{}, nil
	})
	return err
}

func (d *db) End(ctx context.Context, number int64, reason string) error {
	return d.only(ctx, "end", func(context.Context) (func(*postgres), error) {
		return func(p *postgres) {
			if p.epoch.Number == number && p.epoch.State == "open" && p.epoch.Mode == string(epoch.Redis) {
				p.epoch.State = "ending"
				d.note("%s ends epoch %d: %s", d.who, number, reason)
			}
		}, nil
	})
}

func (d *db) Waiting(ctx context.Context, number int64) ([]string, error) {
	return read(ctx, d, "waiting", func(p *postgres) (list []string, err error) {
		for id, m := range p.participants {
			if m.epoch == number && !m.stopped && m.until.After(time.Now()) {
				list = append(list, id)
			}
		}
		slices.Sort(list)
		return list, nil
	})
}

func (d *db) Witnesses(ctx context.Context, me string, within time.Duration) (alive, missing int, err error) {
	_, err = read(ctx, d, "witnesses", func(p *postgres) (none, error) {
		for id, m := range p.participants {
			if id != me && time.Since(m.beat) < within {
				alive++
				if !m.awaySince.IsZero() {
					missing++
				}
			}
		}
		return none{}, nil
	})
	return alive, missing, err
}

func (d *db) Ballots(ctx context.Context, number int64) ([]string, error) {
	return read(ctx, d, "ballots of the epoch", func(p *postgres) (list []string, err error) {
		for b := range p.named {
			if b.epoch == number {
				list = append(list, b.ballot)
			}
		}
		return list, nil
	})
}

func (d *db) Behind(ctx context.Context, _ uuid.UUID, ends map[int32]int64) (int64, error) {
	return read(ctx, d, "behind", func(p *postgres) (behind int64, err error) {
		for part, end := range ends {
			behind += max(0, end-p.offsets[part].next)
		}
		return behind, nil
	})
}

func (d *db) OpenPostgres(ctx context.Context, old pgledger.Epoch, reason string) (pgledger.Epoch, error) {
	var next pgledger.Epoch
	err := d.only(ctx, "open pg", func(context.Context) (func(*postgres), error) {
		return func(p *postgres) {
			if p.epoch.Number != old.Number || p.epoch.State != old.State {
				return
			}
			next = pgledger.Epoch{Number: old.Number + 1, Mode: string(epoch.Postgres), State: "open"}
			held, ns := p.epoch.Held, p.epoch.NS
			if time.Since(p.openedAt) < time.Minute {
				p.stay = min(2*p.stay, 5*time.Minute)
			} else {
				p.stay = 10 * time.Second
			}
			p.epoch, p.openedAt = next, time.Now()
			p.epoch.Held, p.epoch.NS = held, ns
			for ballot := range p.ballots {
				p.pgBallot(ballot)
			}
			d.note("%s opens epoch %d in Postgres: %s", d.who, next.Number, reason)
		}, nil
	})
	return next, err
}

func (d *db) OpenRedis(ctx context.Context, old pgledger.Epoch, load epoch.LoadFunc) (pgledger.Epoch, error) {
	var next pgledger.Epoch
	err := d.only(ctx, "open redis", func(ctx context.Context) (func(*postgres), error) {
		ballots, ok := d.loadables(old)
		if !ok {
			return nil, nil
		}
		loaded, err := load(ctx, old.Number+1, ballots)
		if err != nil {
			return nil, err
		}
		return func(p *postgres) {
			next = loaded
			held := p.epoch.Held
			p.epoch, p.openedAt = loaded, time.Now()
			p.epoch.Held = held
			for _, b := range ballots {
				p.named[epochBallot{loaded.Number, b.Name}] = true
			}
			d.note("%s opens epoch %d in Redis", d.who, loaded.Number)
		}, nil
	})
	return next, err
}

// loadables reads the ballots with their counts, if old is still the row.
func (d *db) loadables(old pgledger.Epoch) (list []epoch.Loadable, ok bool) {
	p := d.pg
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.epoch.Number != old.Number || p.epoch.State != old.State {
		return nil, false
	}
	for _, b := range p.ballots {
		l := epoch.Loadable{
			Name: b.Name, State: b.State, VotesPerVoter: int64(b.VotesPerVoter), PerCandidate: b.PerCandidate, Ticketless: b.Ticketless,
			Rules: b.RulesVersion, Admissions: p.version(b.Name),
		}
		for at, row := range p.pgBallots {
			if at.ballot == b.Name {
				l.Admissions = max(l.Admissions, row.admissions)
			}
		}
		for n, row := range p.tallies {
			if n.ballot == b.Name {
				l.Counts = append(l.Counts, redisledger.Count{Name: n.name, Votes: row.Votes, UpdatedAt: row.UpdatedAt})
			}
		}
		list = append(list, l)
	}
	return list, true
}

func (d *db) NoteReplicas(ctx context.Context, number int64) error {
	_, err := transact(ctx, d, "note replicas", func(t *tables) (none, error) {
		if t.epoch.Number == number {
			t.epoch.Replicated = true
		}
		return none{}, nil
	})
	return err
}
