package graph

import (
	"embed"
	"fmt"
	"strings"
)

//go:embed schema/*.graphqls
var schema embed.FS

// SDL returns the schema as clients and federation routers see it: with @key and @link, without their definitions.
func SDL() (string, error) {
	entries, err := schema.ReadDir("schema")
	if err != nil {
		return "", fmt.Errorf("schema: %w", err)
	}
	parts := make([]string, len(entries))
	for i, entry := range entries {
		text, err := schema.ReadFile("schema/" + entry.Name())
		if err != nil {
			return "", fmt.Errorf("schema: %w", err)
		}
		parts[i] = string(text)
	}
	return strings.Join(parts, "\n"), nil
}
