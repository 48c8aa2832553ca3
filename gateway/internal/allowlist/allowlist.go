// Package allowlist holds the operations that clients may send where no others are wanted: a manifest in the format of Apollo's
// tools (apollo-persisted-query-manifest), which is made out of the clients' sources when they are built. An operation is named
// by its id, as Apollo's clients do it, or sent with exactly the text that the manifest has.
//
// Every operation of a manifest must be one that the gateway could execute: a manifest that holds another is not taken, so that
// a mistake is found when it is made.
package allowlist

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"

	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/littlevote/littlevote/gateway/internal/engine"
	"github.com/littlevote/littlevote/libs/reload"
)

const (
	format  = "apollo-persisted-query-manifest"
	version = 1
)

// manifest is the file.
type manifest struct {
	Format     string      `json:"format"`
	Version    int         `json:"version"`
	Operations []operation `json:"operations"`
}

type operation struct {
	ID   string `json:"id"`
	Body string `json:"body"`
}

// documents are those of a manifest.
type documents struct {
	byID   map[string]*engine.Document
	byText map[string]*engine.Document
}

// List is a manifest that is read again when it changes. It is safe for concurrent use.
type List struct{ now *reload.Value[documents] }

// Open reads a manifest of at most 1 MiB. What prepares documents must be able to prepare each.
func Open(file string, prepare func(text []byte) (*engine.Document, gqlerror.List)) (*List, error) {
	now, err := reload.Open("gateway.allow-list", func(contents [][]byte) (documents, error) {
		return parse(contents[0], prepare)
	}, file)
	if err != nil {
		return nil, err
	}
	return &List{now}, nil
}

// Run reads the manifest again whenever it changes, until ctx ends. One that can't be used leaves the one before in force.
func (l *List) Run(ctx context.Context, log *slog.Logger) { _ = l.now.Run(ctx, log) }

// Problem says why the file is not in force as it is; empty if it is.
func (l *List) Problem() string { return l.now.Problem() }

// ByID returns the document of an id, nil if it is not on the list.
func (l *List) ByID(id string) *engine.Document { return l.now.Now().byID[id] }

// ByText returns the document with this text, nil if it is not on the list.
func (l *List) ByText(text []byte) *engine.Document { return l.now.Now().byText[string(text)] }

func parse(text []byte, prepare func(text []byte) (*engine.Document, gqlerror.List)) (documents, error) {
	var read manifest
	if err := json.Unmarshal(text, &read); err != nil {
		return documents{}, fmt.Errorf("expected a JSON document: %w", err)
	}
	if read.Format != format || read.Version != version {
		return documents{}, fmt.Errorf(`expected "format": %q and "version": %d`, format, version)
	}
	found := documents{byID: make(map[string]*engine.Document), byText: make(map[string]*engine.Document)}
	for i, one := range read.Operations {
		if one.ID == "" || found.byID[one.ID] != nil {
			return documents{}, fmt.Errorf("operation %d: expected an id that no other has", i+1)
		}
		document, errs := prepare([]byte(one.Body))
		if errs != nil {
			return documents{}, fmt.Errorf("operation %d: %w", i+1, errs)
		}
		found.byID[one.ID], found.byText[one.Body] = document, document
	}
	return found, nil
}
