package floor

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The floor is one only while it has the gateway's schema. If this fails: go generate ./tools/bench/internal/floor
func TestTheSchemaIsTheGateways(t *testing.T) {
	generated, err := os.ReadFile("generated/exec.go")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("../../../../gateway/graph/schema/*.graphqls")
	if err != nil || len(files) == 0 {
		t.Fatalf("schema files %q, error %v", files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		// gqlgen writes the text between backquotes, and a backquote of the text as a string of its own.
		quoted := "`" + strings.ReplaceAll(string(text), "`", "` + \"`\" + `") + "`"
		if !strings.Contains(string(generated), quoted) {
			t.Errorf("the generated code has another %s", filepath.Base(file))
		}
	}
}
