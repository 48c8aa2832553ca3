package sim

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/littlevote/littlevote/libs/epoch"
	"github.com/littlevote/littlevote/libs/pgledger"
	"github.com/littlevote/littlevote/libs/redisledger"
	"github.com/littlevote/littlevote/libs/redisledger/ledgermodel"
	"github.com/littlevote/littlevote/libs/ticket"

	"github.com/littlevote/littlevote/services/vote-service/internal/voting"
)

const ballotName = "main"

// instance is a vote-service from its start to its end.
type instance struct {
	*link

	engine *voting.Engine
	me     *epoch.Participant
	killed atomic.Bool
	ended  atomic.Bool
	cancel context.CancelFunc
	work   sync.WaitGroup
}

func (w *world) link(who string, dead func() bool) *link {
	return &link{world: w, who: who, dead: dead}
}

func (w *world) db(who string) *db { return &db{w.link(who, func() bool { return false })} }

// start begins the life of the nth instance.
func (w *world) start(n, life int) *instance {
	i := &instance{}
	i.link = w.link(fmt.Sprintf("%c%d", 'A'+n, life), i.killed.Load)
	i.cut, i.sick, i.old = w.plan.cut[n], w.plan.sick[n], w.plan.old[n]
	ctx, cancel := context.WithCancel(context.Background())
	i.cancel = cancel
	log := slog.New(slog.DiscardHandler)
	if w.verbose {
		log = slog.New(&noting{i.link})
	}
	store := &db{i.link}
	kafka := &producer{link: i.link}
	i.me = epoch.NewParticipant(store, i.link, epoch.Config{
		ID: i.who, Service: "vote", Lease: 3 * time.Second, Heartbeat: 500 * time.Millisecond,
	}, log)
	changer := epoch.NewChanger(epoch.ChangerConfig{
		Store: store, Redis: i.link, Topic: kafka, Me: i.me, Replicated: w.plan.replicated, Log: log,
	})
	keys, err := ticket.NewKeys([]byte("0123456789abcdef0123456789abcdef"))
	if err != nil {
		panic(err)
	}
	i.engine = voting.NewEngine(voting.Config{
		Instance: i.who, Workers: 2, BatchVotes: 20, BatchBytes: 1 << 16, Queue: 1000, Outbox: 100,
		OutboxLease: 1500 * time.Millisecond, ProduceTimeout: produceTimeout, Timeout: 4 * time.Second,
		Refresh: 250*time.Millisecond + time.Duration(n)*time.Microsecond, OutboxAge: time.Hour,
	}, voting.Parts{
		Redis: i.link, Epochs: i.me, Topic: kafka, Store: ledger{store}, Keys: keys, EndEpoch: changer.End, Log: log,
	})
	i.work.Go(func() { _ = i.me.Run(ctx) })
	i.work.Go(func() { _ = changer.Run(ctx, 400*time.Millisecond) })
	i.work.Go(func() { _ = i.engine.Run(ctx) })
	w.mu.Lock()
	defer w.mu.Unlock()
	w.instances = append(w.instances, i)
	return i
}

// end lets the instance finish what it has, or not: then nothing that it does from now on reaches anybody.
func (i *instance) end(kill bool) {
	i.note("%s ends, killed: %t", i.who, kill)
	i.killed.Store(kill)
	i.ended.Store(true)
	ctx, cancel := context.WithCancel(context.Background())
	if kill {
		cancel()
		i.cancel()
	}
	i.engine.Close(ctx)
	cancel()
	i.cancel()
	i.work.Wait()
}

// noting is what an instance logs.
type noting struct{ *link }

func (n *noting) Enabled(context.Context, slog.Level) bool { return true }
func (n *noting) WithAttrs([]slog.Attr) slog.Handler       { return n }
func (n *noting) WithGroup(string) slog.Handler            { return n }
func (n *noting) Handle(_ context.Context, r slog.Record) error {
	text := n.who + " says: " + r.Message
	r.Attrs(func(a slog.Attr) bool {
		if a.Key != "batch" && a.Key != "took" {
			text += fmt.Sprintf(" %s=%v", a.Key, a.Value)
		}
		return true
	})
	n.note("%s", text)
	return nil
}

// mint is the ticket-service.
func (w *world) mint() {
	d, fence := w.db("minter"), int64(0)
	for sleep(w.stop, 150*time.Millisecond+rand3(w.dice("minter pause"), 50*time.Millisecond)) {
		row, err := d.Current(w.stop)
		if err != nil || row.State != "open" {
			continue
		}
		fence++
		if row.Mode == string(epoch.Redis) {
			w.mintInRedis(d, redisledger.Fence{Epoch: row.Number, NS: row.NS}, fence)
			continue
		}
		_, _ = locked(w.stop, d, "mint", true, func(t *tables) (pgledger.Minted, error) {
			m := pgledger.Mint{Number: 1, Cap: w.plan.cap, Interval: w.plan.interval, Fence: fence}
			if b := t.pgBallots[epochBallot{row.Number, ballotName}]; b != nil {
				m.Number = b.last + 1
			}
			m.Version = fmt.Sprintf("%d.%d.%d", row.Number, m.Number, fence)
			m.Value = m.Version
			return t.mint(row.Number, ballotName, m, time.Now())
		})
	}
}

func (w *world) mintInRedis(d *db, f redisledger.Fence, fence int64) {
	state, err := ask(w.stop, d.link, "ticket", func(n *ledgermodel.Ledger) (redisledger.TicketState, error) {
		return n.Ticket(w.stop, f, ballotName)
	})
	if err != nil {
		return
	}
	m := redisledger.Mint{Number: state.LastNumber + 1, Cap: w.plan.cap, Interval: w.plan.interval, Fence: fence}
	m.Version = fmt.Sprintf("%d.%d.%d", f.Epoch, m.Number, fence)
	m.Value = m.Version
	_, _ = ask(w.stop, d.link, "mint", func(n *ledgermodel.Ledger) (none, error) {
		_, _, _, err := n.Mint(w.stop, f, ballotName, m)
		return none{}, err
	})
}
