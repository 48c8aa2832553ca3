// Package client is the command line of a voter: it speaks GraphQL to a gateway, like any other client.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// ErrRefused says that the answer was printed, and that it was no success.
var ErrRefused = errors.New("refused")

// maxAnswer bounds what is read of an answer, in bytes.
const maxAnswer = 16 << 20

// target is the gateway and how to print.
type target struct {
	url    string
	json   bool
	ballot string
	token  string
	tenant string
}

// flags adds the flags that every command here has.
func (t *target) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&t.url, "url", "http://127.0.0.1:8080/graphql", "the gateway's GraphQL endpoint")
	cmd.Flags().BoolVar(&t.json, "json", false, "print the answer's data as JSON")
	cmd.Flags().StringVar(&t.ballot, "ballot", "main", "the ballot")
	cmd.Flags().StringVar(&t.token, "token", "", "who you are: a token, such as `littlevote token` prints, or @FILE with one in it; empty: somebody unknown")
	cmd.Flags().StringVar(&t.tenant, "tenant", "", "whose ballots; a token says so by itself")
}

// query sends a document and decodes the data of the answer; with --json it also prints it.
func (t *target) query(cmd *cobra.Command, document string, variables map[string]any, data any) error {
	ctx, cancel := context.WithTimeout(cmd.Context(), 15*time.Second)
	defer cancel()
	variables["ballot"] = t.ballot
	body, err := json.Marshal(map[string]any{"query": document, "variables": variables})
	if err != nil {
		return err
	}
	header, err := t.header()
	if err != nil {
		return err
	}
	raw, err := post(ctx, t.url, header, body)
	if err != nil {
		return err
	}
	if t.json {
		_, _ = fmt.Fprintf(cmd.OutOrStdout(), "%s\n", raw)
	}
	return json.Unmarshal(raw, data)
}

// header says what the body is, in which language the answer should be, and who asks.
func (t *target) header() (http.Header, error) {
	header := http.Header{"Content-Type": {"application/json"}}
	if lang := os.Getenv("LANG"); len(lang) < 2 || lang[:2] != "zh" {
		header.Set("Accept-Language", "en")
	}
	token := t.token
	if file, ok := strings.CutPrefix(token, "@"); ok {
		text, err := os.ReadFile(file) //nolint:gosec // the caller's own
		if err != nil {
			return nil, fmt.Errorf("token: %w", err)
		}
		token = strings.TrimSpace(string(text))
	}
	if token != "" {
		header.Set("Authorization", "Bearer "+token)
	}
	if t.tenant != "" {
		header.Set("Littlevote-Tenant", t.tenant)
	}
	return header, nil
}

func post(ctx context.Context, url string, header http.Header, body []byte) (json.RawMessage, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header = header
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, err
	}
	var answer struct {
		Data   json.RawMessage
		Errors []struct {
			Message    string
			Extensions struct{ Code string }
		}
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return nil, fmt.Errorf("%s answers %s, and no GraphQL", url, resp.Status)
	}
	if len(answer.Errors) > 0 {
		e := answer.Errors[0]
		return nil, fmt.Errorf("%s (%s)", e.Message, e.Extensions.Code)
	}
	return answer.Data, nil
}
