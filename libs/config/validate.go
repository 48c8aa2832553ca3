package config

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
)

// KeyError says what is wrong with one setting. A Validate method returns it with the key as its own struct names it
// ("interval"); Load puts the path of the struct before it ("ticket.interval"). Main ends with code 2 on it, so a program may
// also return one from its run function for what only shows there.
type KeyError struct {
	Key     string
	Problem string // what was expected, and what was there unless it is a secret
}

func (e *KeyError) Error() string { return e.Key + ": " + e.Problem }

// Errorf makes a KeyError.
func Errorf(key, format string, args ...any) error {
	return &KeyError{Key: key, Problem: fmt.Sprintf(format, args...)}
}

// Between is an error unless low <= value <= high.
func Between[T cmp.Ordered](key string, value, low, high T) error {
	if value >= low && value <= high {
		return nil
	}
	return Errorf(key, "expected %v to %v, got %v", low, high, value)
}

// OneOf is an error unless value is one of the options.
func OneOf(key, value string, options ...string) error {
	if slices.Contains(options, value) {
		return nil
	}
	return Errorf(key, "expected one of %s, got %q", strings.Join(options, ", "), value)
}

// Required is an error if value is empty.
func Required(key, value string) error {
	if value != "" {
		return nil
	}
	return Errorf(key, "expected a value, got none")
}

// Address is an error unless value is host:port with a port in numbers; the host may be empty (all interfaces).
func Address(key, value string) error {
	_, port, err := net.SplitHostPort(value)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		return Errorf(key, "expected host:port, got %q", value)
	}
	return nil
}

// validator is the Validate method of a struct that was found under prefix.
type validator struct {
	prefix string
	check  func() error
}

// validate calls all of them. The same complaint comes once, however many targets share the key.
func (l *Loader) validate() error {
	var errs []error
	seen := map[string]bool{}
	for _, v := range l.validators {
		for _, err := range located(v.prefix, v.check()) {
			err = l.conceal(err)
			if !seen[err.Error()] {
				seen[err.Error()] = true
				errs = append(errs, err)
			}
		}
	}
	return errors.Join(errs...)
}

// located splits joined errors and puts prefix before their keys.
func located(prefix string, err error) []error {
	if err == nil {
		return nil
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var out []error
		for _, one := range joined.Unwrap() {
			out = append(out, located(prefix, one)...)
		}
		return out
	}
	var keyed *KeyError
	if errors.As(err, &keyed) {
		return []error{&KeyError{Key: join(prefix, keyed.Key), Problem: keyed.Problem}}
	}
	if prefix == "" {
		return []error{err}
	}
	return []error{fmt.Errorf("%s: %w", prefix, err)}
}
