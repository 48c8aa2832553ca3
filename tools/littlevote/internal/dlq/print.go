package dlq

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"google.golang.org/protobuf/encoding/protojson"
)

// dumpBytes is how much of a value is shown unless all of it is asked for.
const dumpBytes = 1024

// printer writes letters for a person, or as JSON.
type printer struct {
	w      io.Writer
	asJSON bool
	count  int // of the letters that were done
}

func newPrinter(w io.Writer, asJSON bool) *printer { return &printer{w: w, asJSON: asJSON} }

// view is a letter in JSON.
type view struct {
	Address         string     `json:"address"`
	At              time.Time  `json:"at"`
	OriginTopic     string     `json:"originTopic,omitempty"` // empty if somebody else wrote it
	OriginPartition int32      `json:"originPartition"`
	OriginOffset    int64      `json:"originOffset"`
	Reason          string     `json:"reason"`
	Bytes           int        `json:"bytes"`
	Action          string     `json:"action,omitempty"` // replayed or dropped
	HandledAt       *time.Time `json:"handledAt,omitempty"`
	LeftAlone       bool       `json:"leftAlone,omitempty"`
	Notes           []string   `json:"notes,omitempty"`
}

// wholeView is a letter in JSON with everything in it; bytes are base64.
type wholeView struct {
	view
	Key     []byte             `json:"key"`
	Headers []kgo.RecordHeader `json:"headers,omitempty"`
	Value   []byte             `json:"value"`
	Batch   json.RawMessage    `json:"batch,omitempty"`
}

func newView(l *letter) view {
	v := view{
		Address: l.address.String(), At: l.At.UTC(), OriginTopic: l.Topic, OriginPartition: l.Partition, OriginOffset: l.Offset,
		Reason: l.Reason, Bytes: len(l.Value), Action: l.action, Notes: l.notes,
	}
	if l.action != "" {
		v.HandledAt = &l.handledAt
	}
	return v
}

func (p *printer) object(v any) error { return json.NewEncoder(p.w).Encode(v) }

// row is one letter in a list.
func (p *printer) row(l *letter) error {
	p.count++
	if p.asJSON {
		return p.object(newView(l))
	}
	state, from := l.action, "somebody else"
	if state == "" {
		state = "waiting"
	}
	if l.Topic != "" {
		from = fmt.Sprintf("%d:%d", l.Partition, l.Offset)
	}
	_, err := fmt.Fprintf(p.w, "%-10s %s  from %s  %d bytes  %s  %s\n",
		l.address, l.At.UTC().Format(time.RFC3339), from, len(l.Value), state, escape([]byte(l.Reason)))
	return err
}

// done is a letter that was just handled.
func (p *printer) done(l *letter) error {
	p.count++
	if p.asJSON {
		return p.object(newView(l))
	}
	_, err := fmt.Fprintln(p.w, strings.Join(append([]string{l.address.String() + ": " + l.action}, l.notes...), "; "))
	return err
}

// left is a letter that had been handled before.
func (p *printer) left(l *letter) error {
	if p.asJSON {
		v := newView(l)
		v.LeftAlone = true
		return p.object(v)
	}
	_, err := fmt.Fprintf(p.w, "%s: left alone, it was %s at %s\n", l.address, l.action, l.handledAt.UTC().Format(time.RFC3339))
	return err
}

// end sums up, for a person.
func (p *printer) end(one, many string) error {
	if p.asJSON {
		return nil
	}
	what := many
	if p.count == 1 {
		what = one
	}
	_, err := fmt.Fprintf(p.w, "%d %s\n", p.count, what)
	return err
}

// whole is one letter with everything in it.
func (p *printer) whole(l *letter, all bool) error {
	var batch json.RawMessage
	if l.batch != nil {
		var err error
		if batch, err = (protojson.MarshalOptions{Multiline: !p.asJSON}).Marshal(l.batch); err != nil {
			return err
		}
	}
	if p.asJSON {
		return p.object(wholeView{view: newView(l), Key: l.Key, Headers: l.Headers, Value: l.Value, Batch: batch})
	}
	if err := p.row(l); err != nil {
		return err
	}
	fmt.Fprintf(p.w, "key: %s\n", escape(l.Key))
	for _, h := range l.Headers {
		fmt.Fprintf(p.w, "header %s: %s\n", escape([]byte(h.Key)), escape(h.Value))
	}
	for _, note := range l.notes {
		fmt.Fprintf(p.w, "note: %s\n", note)
	}
	if batch != nil {
		fmt.Fprintf(p.w, "batch: %s\n", batch)
	}
	return p.dump(l.Value, all)
}

func (p *printer) dump(value []byte, all bool) error {
	left := 0
	if len(value) > dumpBytes && !all {
		left = len(value) - dumpBytes
		value = value[:dumpBytes]
	}
	if _, err := fmt.Fprint(p.w, hex.Dump(value)); err != nil || left == 0 {
		return err
	}
	_, err := fmt.Fprintf(p.w, "and %d bytes more; --whole shows them\n", left)
	return err
}

// escape makes the text of strangers fit for a terminal.
func escape(text []byte) string {
	quoted := strconv.QuoteToASCII(string(text))
	return quoted[1 : len(quoted)-1]
}
