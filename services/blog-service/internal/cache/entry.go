package cache

import (
	"strconv"
	"strings"

	"github.com/littlevote/littlevote/services/blog-service/internal/store"
)

// ID names a thing of one kind.
type ID struct {
	Tenant string
	Number int64
}

// key names it among all kinds, in Redis and in messages. A tenant holds no colon.
func (id ID) key(kind string) string {
	return kind + ":" + id.Tenant + ":" + store.FormatID(id.Number)
}

// parseKey reads what key wrote.
func parseKey(key string) (kind string, id ID, ok bool) {
	parts := strings.Split(key, ":")
	if len(parts) != 3 {
		return "", ID{}, false
	}
	number, ok := store.ParseID(parts[2])
	return parts[0], ID{Tenant: parts[1], Number: number}, ok
}

// Entry is a thing in one version. It is shared between readers: nobody may change what it holds.
type Entry[V any] struct {
	Version int64  // grows with each change; 0: nobody ever saw such a thing
	Owner   string // who may change it
	Found   bool   // false: there is none, or no more
	Value   V
}

// change is the message about one.
type change struct {
	kind    string
	id      ID
	version int64
}

func (c change) String() string {
	return c.id.key(c.kind) + "@" + strconv.FormatInt(c.version, 10)
}

func parseChange(text string) (change, bool) {
	key, version, ok := strings.Cut(text, "@")
	if !ok {
		return change{}, false
	}
	c := change{}
	var err error
	c.kind, c.id, ok = parseKey(key)
	c.version, err = strconv.ParseInt(version, 10, 64)
	return c, ok && err == nil
}

// Numbers are the ids without their tenants.
func Numbers(ids []ID) []int64 {
	numbers := make([]int64, len(ids))
	for i, id := range ids {
		numbers[i] = id.Number
	}
	return numbers
}
