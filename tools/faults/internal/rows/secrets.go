package rows

import (
	"time"

	"github.com/littlevote/littlevote/tools/internal/system"
)

func secretRows() []Row {
	return []Row{
		{
			Name: "U2", Kind: Change, Title: "certificates are exchanged twice, and their authority, on running processes", Silence: degraded, TLS: true,
			Sees: "nothing", Happen: exchangeCertificates, Judge: unhelped,
		},
		{
			Name: "U3", Kind: Change, Title: "the key that tickets are signed with is exchanged, on running processes", Silence: degraded,
			Sees: "nothing", Happen: exchangeTicketKey, Judge: unhelped,
		},
	}
}

// exchangeCertificates does what SECURITY in the README tells an operator to do. New connections are made in between: a
// vote-service dies in the middle of it.
func exchangeCertificates(r *Run) {
	r.System.RenewCertificates(r)
	r.AwaitMore(warm)
	r.System.AnotherAuthority(r) // both are believed
	r.AwaitMore(warm)
	r.System.RenewCertificates(r) // by the new one
	r.kill(r.One(system.Vote))
	r.AwaitMore(warm)
	r.System.ForgetAuthorities(r) // only the new one is believed
	r.kill(r.One(system.Query))
}

// ticketLife is longer than a ticket of a run lasts, and is held by whoever fetched it.
const ticketLife = 3 * time.Second

// exchangeTicketKey goes the three steps of ticket.key-file.
func exchangeTicketKey(r *Run) {
	before, next := r.System.TicketKeys(r)[0], system.NewTicketKey()
	for _, keys := range [][]string{{before, next}, {next, before}, {next}} {
		r.System.SetTicketKeys(r, keys...)
		r.AwaitMore(warm)
		r.Hold(ticketLife)
	}
}
