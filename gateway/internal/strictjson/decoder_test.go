package strictjson

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

func decode(text string) (any, error) {
	d := New([]byte(text))
	value, err := d.Value()
	if err != nil {
		return nil, err
	}
	return value, d.End()
}

func TestValues(t *testing.T) {
	for text, want := range map[string]any{
		`null`:                      nil,
		` true `:                    true,
		`false`:                     false,
		`0`:                         int64(0),
		`-12`:                       int64(-12),
		`9223372036854775807`:       int64(9223372036854775807),
		`9223372036854775808`:       float64(9223372036854775808),
		`1.0`:                       1.0,
		`-1.5e+3`:                   -1500.0,
		`"投票 \u6295\/\b\f\n\r\t\""`: "投票 投/\b\f\n\r\t\"",
		`"\ud83d\ude00"`:            "😀",
		`[]`:                        []any{},
		`[1, "a",null]`:             []any{int64(1), "a", nil},
		`{}`:                        map[string]any{},
		`{"a":{"b":[true]}}`:        map[string]any{"a": map[string]any{"b": []any{true}}},
		strings.Repeat("[", MaxDepth) + strings.Repeat("]", MaxDepth): nested(MaxDepth),
	} {
		got, err := decode(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
		} else if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %#v, want %#v", text, got, want)
		}
	}
}

func nested(depth int) any {
	value := any([]any{})
	for range depth - 1 {
		value = []any{value}
	}
	return value
}

func TestRefusals(t *testing.T) {
	for text, want := range map[string]string{
		``:                            "unexpected end",
		`{`:                           "unexpected end",
		`{"a"`:                        "unexpected end",
		`{"a":1,}`:                    `expected "`,
		`{a:1}`:                       `expected "`,
		`[1,]`:                        "expected a value",
		`[1 2]`:                       "expected ,",
		`{"a":1}{"a":1}`:              "expected the end",
		`1 x`:                         "expected the end",
		`{"a":1,"a":2}`:               "duplicate name",
		`{"a":1,"\u0061":2}`:          "duplicate name",
		`01`:                          "expected the end",
		`+1`:                          "expected a value",
		`.5`:                          "expected a value",
		`1.`:                          "unexpected end",
		`1e999`:                       "out of range",
		`NaN`:                         "expected a value",
		`tru`:                         "expected a value",
		`"` + "\n" + `"`:              "control character",
		`"\n` + "\x00" + `"`:          "control character",
		`"\x"`:                        "unknown escape",
		`"\u12G4"`:                    "hexadecimal",
		"\"\xff\"":                    "invalid UTF-8",
		"\"\xed\xa0\x80\"":            "invalid UTF-8",
		"\"\\n\xc0\xaf\"":             "invalid UTF-8",
		`"\ud800"`:                    "lone surrogate",
		`"\udc00\ud800"`:              "lone surrogate",
		`"\ud800\u0041"`:              "lone surrogate",
		`"\ud800 \udc00"`:             "lone surrogate",
		strings.Repeat("[", 40):       "nested too deep",
		strings.Repeat("{\"a\":", 40): "nested too deep",
	} {
		_, err := decode(text)
		if !IsSyntax(err) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want a syntax error with %q", text, err, want)
		}
	}
}

// What is accepted here means the same to encoding/json.
func FuzzAgreesWithEncodingJSON(f *testing.F) {
	for _, text := range []string{`{"a":[1,2.5,"x\u00e9",null,true]}`, `"\ud83d\ude00"`, `[[],{}]`, `-0`, `1E5`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := decode(string(data))
		if err != nil {
			if !IsSyntax(err) {
				t.Fatalf("an error of another kind: %v", err)
			}
			return
		}
		decoder := json.NewDecoder(bytes.NewReader(data))
		decoder.UseNumber()
		var want any
		if err := decoder.Decode(&want); err != nil {
			t.Fatalf("accepted what encoding/json refuses: %v", err)
		}
		if !same(got, want) {
			t.Fatalf("got %#v, encoding/json %#v", got, want)
		}
	})
}

func same(got, want any) bool {
	switch want := want.(type) {
	case json.Number:
		if n, ok := got.(int64); ok {
			other, err := want.Int64()
			return err == nil && n == other
		}
		f, err := want.Float64()
		return err == nil && got == f
	case []any:
		list, ok := got.([]any)
		if !ok || len(list) != len(want) {
			return false
		}
		for i := range want {
			if !same(list[i], want[i]) {
				return false
			}
		}
		return true
	case map[string]any:
		object, ok := got.(map[string]any)
		if !ok || len(object) != len(want) {
			return false
		}
		for name := range want {
			if !same(object[name], want[name]) {
				return false
			}
		}
		return true
	default:
		return reflect.DeepEqual(got, want)
	}
}
