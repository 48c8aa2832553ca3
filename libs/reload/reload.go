// Package reload keeps in force what files say, and reads them again when they change, so that certificates and keys are
// exchanged without a restart.
//
// It compares contents and not times or names, so it does not matter how a file is exchanged: rewritten, renamed over, or by
// Kubernetes, which swaps the symbolic link of their folder.
//
// Invariants:
//   - What is in force was read whole and could be used. A new content that can't be used leaves the old one in force, and is told
//     once, when two looks in a row have found it: between the first and the last byte of a change files are broken for a moment.
//   - Now does no input or output.
package reload

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// Every is how often Run looks, and how seldom Look does at most.
	Every = time.Second
	// maxSize bounds one file, in bytes.
	maxSize = 1 << 20
)

// Value is what one or several files say together. It is safe for concurrent use.
type Value[T any] struct {
	name  string
	parse func(contents [][]byte) (T, error)
	paths []string
	now   atomic.Pointer[T]
	wrong atomic.Pointer[string] // why the files of now are not in force; nil: they are

	mu      sync.Mutex // guards what follows
	looked  time.Time
	inForce [sha256.Size]byte // of the contents
	suspect [sha256.Size]byte // of contents that can't be used, or of the reason why they can't be read
}

// Open reads the files. The name stands for them in logs and in Problem; errors of parse must hold nothing secret.
func Open[T any](name string, parse func(contents [][]byte) (T, error), paths ...string) (*Value[T], error) {
	v := &Value[T]{name: name, parse: parse, paths: paths}
	contents, err := v.read()
	if err != nil {
		return nil, err
	}
	value, err := parse(contents)
	if err != nil {
		return nil, err
	}
	v.inForce, v.looked = sum(contents), time.Now()
	v.now.Store(&value)
	return v, nil
}

// Now is what is in force.
func (v *Value[T]) Now() T { return *v.now.Load() }

// Problem says in words for the operator that the files are not in force as they are; empty if they are. Why, with names of
// files, is for the log.
func (v *Value[T]) Problem() string {
	if v.wrong.Load() != nil {
		return v.name + ": the files can't be used, what was read before stays in force; the log says why"
	}
	return ""
}

// Run looks once a second until ctx ends. It returns nil.
func (v *Value[T]) Run(ctx context.Context, log *slog.Logger) error {
	tick := time.NewTicker(Every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			v.look(ctx, log)
		}
	}
}

// Look reads the files again, unless somebody has done so within the last second or does so right now.
func (v *Value[T]) Look(ctx context.Context, log *slog.Logger) {
	if !v.mu.TryLock() {
		return
	}
	due := time.Since(v.looked) >= Every
	v.mu.Unlock()
	if due {
		v.look(ctx, log)
	}
}

func (v *Value[T]) look(ctx context.Context, log *slog.Logger) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.looked = time.Now()
	contents, err := v.read()
	seen := sum(contents)
	if err != nil {
		seen = sha256.Sum256([]byte(err.Error()))
	} else if seen == v.inForce {
		v.settle(ctx, log)
		return
	}
	var value T
	if err == nil {
		value, err = v.parse(contents)
	}
	if err != nil {
		v.doubt(ctx, log, seen, err)
		return
	}
	v.now.Store(&value)
	v.inForce = seen
	log.InfoContext(ctx, "files were read again and are in force", "setting", v.name)
	v.settle(ctx, log)
}

// settle is called when the files are in force as they are; it needs mu.
func (v *Value[T]) settle(ctx context.Context, log *slog.Logger) {
	v.suspect = [sha256.Size]byte{}
	if v.wrong.Swap(nil) != nil {
		log.InfoContext(ctx, "files can be used again", "setting", v.name)
	}
}

// doubt is called when the files can't be used; it needs mu.
func (v *Value[T]) doubt(ctx context.Context, log *slog.Logger, seen [sha256.Size]byte, err error) {
	if seen != v.suspect {
		v.suspect = seen
		return
	}
	text := err.Error()
	if before := v.wrong.Swap(&text); before == nil || *before != text {
		log.ErrorContext(ctx, "files can't be used, what was read before stays in force", "setting", v.name, "error", err)
	}
}

// read returns the contents of all files.
func (v *Value[T]) read() ([][]byte, error) {
	contents := make([][]byte, len(v.paths))
	for i, path := range v.paths {
		text, err := readFile(path)
		if err != nil {
			return nil, err
		}
		contents[i] = text
	}
	return contents, nil
}

func readFile(path string) ([]byte, error) {
	file, err := os.Open(path) //nolint:gosec // The operator names the file.
	if err != nil {
		return nil, err
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxSize+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxSize {
		return nil, fmt.Errorf("%s: expected at most %d bytes", path, maxSize)
	}
	return text, nil
}

func sum(contents [][]byte) [sha256.Size]byte {
	hash := sha256.New()
	for _, text := range contents {
		part := sha256.Sum256(text)
		hash.Write(part[:]) // never fails
	}
	return [sha256.Size]byte(hash.Sum(nil))
}

// Readable is an error if a file can't be read.
func Readable(path string) error {
	_, err := readFile(path)
	return err
}
