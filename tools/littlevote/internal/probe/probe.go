// Package probe asks a process how it is, from inside an image that has neither a shell nor curl.
package probe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// mostShown is how many bytes of a refusal are printed: reports of /readyz are far shorter.
const mostShown = 4 << 10

// Command is `littlevote probe`.
func Command() *cobra.Command {
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "probe URL...",
		Short: "Ask a process whether it is well",
		Long: `Succeeds if one of the URLs answers 200 within the timeout, else says what each of them answered. They are asked at the same time, so
one health check serves an image of several programs, of which each container runs one.

  littlevote probe http://127.0.0.1:9080/readyz`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, urls []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), timeout)
			defer cancel()
			return anyOf(ctx, urls)
		},
	}
	cmd.Flags().DurationVar(&timeout, "timeout", 2*time.Second, "how long the answer may take")
	return cmd
}

// anyOf is nil as soon as one of the URLs answers 200.
func anyOf(ctx context.Context, urls []string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	answers := make(chan error, len(urls))
	for _, url := range urls {
		go func() { answers <- ask(ctx, url) }()
	}
	var errs []error
	for range urls {
		err := <-answers
		if err == nil {
			return nil
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func ask(ctx context.Context, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	client := http.Client{
		Transport: &http.Transport{DisableKeepAlives: true}, // and no proxy: this is about a process beside this one
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse // another process would answer
		},
	}
	answer, err := client.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode == http.StatusOK {
		return nil
	}
	text, _ := io.ReadAll(io.LimitReader(answer.Body, mostShown)) // What did come is better than nothing.
	return fmt.Errorf("%s: %s %s", url, answer.Status, strings.TrimSpace(string(text)))
}
