package config

import (
	"encoding"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// typeName names the type of a setting as --help shows it; ok is false for types that no setting can have.
func typeName(typ reflect.Type) (name string, ok bool) {
	if isText(typ) {
		return "value", true
	}
	if typ == reflect.TypeFor[time.Duration]() {
		return "duration", true
	}
	switch typ.Kind() {
	case reflect.String:
		return "string", true
	case reflect.Bool:
		return "bool", true
	case reflect.Int, reflect.Int64:
		return "int", true
	case reflect.Float64:
		return "float", true
	case reflect.Slice:
		return "strings", typ.Elem().Kind() == reflect.String
	default:
		return "", false
	}
}

// isText reports whether typ reads and writes itself as text. Both ways are asked for: a setting that could not be written
// could not be shown as a default.
func isText(typ reflect.Type) bool {
	return reflect.PointerTo(typ).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()) &&
		reflect.PointerTo(typ).Implements(reflect.TypeFor[encoding.TextMarshaler]())
}

func isList(typ reflect.Type) bool { return !isText(typ) && typ.Kind() == reflect.Slice }

// decode turns what a layer holds (a string, or []string for a list) into a value of typ. Its errors say what was expected and
// never repeat the value: the caller knows whether it is a secret.
func decode(typ reflect.Type, raw any) (reflect.Value, error) {
	value := reflect.New(typ).Elem()
	switch raw := raw.(type) {
	case []string:
		if !isList(typ) {
			return value, errors.New("expected one value, not a list")
		}
		value.Set(reflect.MakeSlice(typ, len(raw), len(raw)))
		for i, item := range raw {
			value.Index(i).SetString(item)
		}
		return value, nil
	case string:
		if isList(typ) {
			return decode(typ, splitList(raw))
		}
		return value, decodeText(value, raw)
	default:
		return value, fmt.Errorf("expected %s", expectation(typ))
	}
}

// decodeText sets value, which is no list, from text.
func decodeText(value reflect.Value, text string) error {
	typ := value.Type()
	if isText(typ) {
		target, _ := value.Addr().Interface().(encoding.TextUnmarshaler)
		if err := target.UnmarshalText([]byte(text)); err != nil {
			return &textError{err}
		}
		return nil
	}
	var err error
	switch {
	case typ == reflect.TypeFor[time.Duration]():
		var d time.Duration
		d, err = time.ParseDuration(text)
		value.SetInt(int64(d))
	case typ.Kind() == reflect.String:
		value.SetString(text)
	case typ.Kind() == reflect.Bool:
		var b bool
		b, err = strconv.ParseBool(text)
		value.SetBool(b)
	case typ.Kind() == reflect.Float64:
		var f float64
		f, err = strconv.ParseFloat(text, 64)
		if math.IsNaN(f) || math.IsInf(f, 0) {
			err = strconv.ErrRange
		}
		value.SetFloat(f)
	default:
		var n int64
		n, err = strconv.ParseInt(text, 10, typ.Bits())
		value.SetInt(n)
	}
	if err != nil {
		return fmt.Errorf("expected %s", expectation(typ))
	}
	return nil
}

// textError is the complaint of a type that reads itself. It may repeat the value, so for a secret only its type is told.
type textError struct{ err error }

func (e *textError) Error() string { return e.err.Error() }
func (e *textError) Unwrap() error { return e.err }

func expectation(typ reflect.Type) string {
	switch {
	case isText(typ):
		return "a value"
	case typ == reflect.TypeFor[time.Duration]():
		return "a duration such as 500ms, 2s or 1h30m"
	}
	switch typ.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int64:
		return "a whole number"
	case reflect.Float64:
		return "a number"
	case reflect.Slice:
		return "a list of texts"
	default:
		return "a value"
	}
}

// splitList reads the one-line form of a list: items with commas between them.
func splitList(text string) []string {
	if strings.TrimSpace(text) == "" {
		return nil
	}
	items := strings.Split(text, ",")
	for i := range items {
		items[i] = strings.TrimSpace(items[i])
	}
	return items
}

// plain turns the value of a setting into what YAML can say: a string, bool, number or list of strings.
func plain(value reflect.Value) (any, error) {
	typ := value.Type()
	if isText(typ) {
		marshaler, _ := value.Addr().Interface().(encoding.TextMarshaler)
		text, err := marshaler.MarshalText()
		if err != nil {
			return nil, err
		}
		return string(text), nil
	}
	switch {
	case typ == reflect.TypeFor[time.Duration]():
		return time.Duration(value.Int()).String(), nil
	case typ.Kind() == reflect.String:
		return value.String(), nil
	case typ.Kind() == reflect.Bool:
		return value.Bool(), nil
	case typ.Kind() == reflect.Float64:
		return value.Float(), nil
	case typ.Kind() == reflect.Slice:
		items := make([]string, value.Len())
		for i := range items {
			items[i] = value.Index(i).String()
		}
		return items, nil
	default:
		return value.Int(), nil
	}
}
