package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
)

const (
	// fileSuffix stands behind a variable that names a file with the value.
	fileSuffix = "_FILE"
	// maxValue bounds such a file, in bytes.
	maxValue = 64 << 10
)

// pointsTo is the setting whose value stands in the file that a variable names, or nil. A setting of its own goes before.
func (l *Loader) pointsTo(variable string) *setting {
	base, ok := strings.CutSuffix(variable, fileSuffix)
	if !ok || l.byVariable[variable] != nil {
		return nil
	}
	return l.byVariable[base]
}

// fromFile reads the value of a setting.
func (s *setting) fromFile(variable, path string) (string, error) {
	if path == "" {
		return "", &KeyError{Key: s.key, Problem: fmt.Sprintf("expected the name of a file with the value (%s)", variable)}
	}
	text, err := readValue(path)
	if err != nil {
		return "", &KeyError{Key: s.key, Problem: fmt.Sprintf("expected a readable file with the value (%s): %v", variable, err)}
	}
	s.hides = true
	return text, nil
}

// readValue is the content of a file without the line breaks at its end, which editors put there.
func readValue(path string) (string, error) {
	file, err := os.Open(path) //nolint:gosec // The operator names the file.
	if err != nil {
		return "", err
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxValue+1))
	if err != nil {
		return "", err
	}
	if len(text) > maxValue {
		return "", fmt.Errorf("%s: expected at most %d bytes", path, maxValue)
	}
	return strings.TrimRight(string(text), "\r\n"), nil
}

// conceal takes the values that came from files out of what Validate methods say.
func (l *Loader) conceal(err error) error {
	var keyed *KeyError
	if !errors.As(err, &keyed) {
		return err
	}
	s := l.byKey[keyed.Key]
	if s == nil || !s.hides {
		return err
	}
	value, plainErr := plain(s.fields[0])
	if plainErr != nil {
		return &KeyError{Key: keyed.Key, Problem: "expected another value"}
	}
	items, isItems := value.([]string)
	if !isItems {
		items = []string{fmt.Sprint(value)}
	}
	problem := keyed.Problem
	for _, item := range items {
		if item == "" {
			continue
		}
		quoted := strconv.Quote(item)
		problem = strings.ReplaceAll(problem, quoted[1:len(quoted)-1], hidden)
		problem = strings.ReplaceAll(problem, item, hidden)
	}
	return &KeyError{Key: keyed.Key, Problem: problem}
}
