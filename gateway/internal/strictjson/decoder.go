// Package strictjson reads JSON that comes from strangers.
//
// It is stricter than encoding/json: invalid UTF-8, lone surrogates, duplicate names, deep nesting and anything after
// the value are errors, so that what is counted is exactly what was sent. Whole numbers become int64, others float64,
// so that a number is never taken for a string. It reads from one buffer and keeps no part of it.
package strictjson

import (
	"errors"
	"fmt"
	"unicode/utf8"
)

// MaxDepth is how deep arrays and objects may nest.
const MaxDepth = 32

// SyntaxError says where the text stops being JSON as this package reads it. It never repeats the text.
type SyntaxError struct {
	Offset  int // bytes before the error
	Problem string
}

func (e *SyntaxError) Error() string { return fmt.Sprintf("%s at byte %d", e.Problem, e.Offset) }

// IsSyntax reports whether err is a SyntaxError.
func IsSyntax(err error) bool {
	var syntax *SyntaxError
	return errors.As(err, &syntax)
}

// Decoder reads one text.
type Decoder struct {
	data  []byte
	pos   int
	depth int
}

// New returns a decoder at the start of data.
func New(data []byte) *Decoder { return &Decoder{data: data} }

// End is an error unless nothing but white space is left.
func (d *Decoder) End() error {
	if d.space(); d.pos < len(d.data) {
		return d.fail("expected the end")
	}
	return nil
}

// Kind returns the first byte of the next value: '{', '[', '"', 't', 'f', 'n', '-' or a digit; 0 at the end.
func (d *Decoder) Kind() byte {
	d.space()
	if d.pos == len(d.data) {
		return 0
	}
	return d.data[d.pos]
}

// Object reads an object and calls field for each of its names, with the decoder at the value, which field must read.
// It does not look for duplicate names. The name is valid until field returns.
func (d *Decoder) Object(field func(name []byte) error) error {
	if err := d.enter('{'); err != nil {
		return err
	}
	for first := true; ; first = false {
		if d.Kind() == '}' && first {
			break
		}
		name, err := d.Text(nil)
		if err != nil {
			return err
		}
		if err := d.expect(':'); err != nil {
			return err
		}
		if err := field(name); err != nil {
			return err
		}
		if d.Kind() == '}' {
			break
		}
		if err := d.expect(','); err != nil {
			return err
		}
	}
	return d.leave()
}

// Value reads any value: nil, bool, int64, float64, string, []any or map[string]any.
func (d *Decoder) Value() (any, error) {
	switch kind := d.Kind(); kind {
	case '{':
		return d.object()
	case '[':
		return d.array()
	case '"':
		text, err := d.Text(nil)
		if err != nil {
			return nil, err
		}
		return string(text), nil
	case 't':
		return true, d.word("true")
	case 'f':
		return false, d.word("false")
	case 'n':
		return nil, d.word("null")
	default:
		return d.number()
	}
}

func (d *Decoder) object() (any, error) {
	values := make(map[string]any)
	err := d.Object(func(name []byte) error {
		key := string(name)
		if _, twice := values[key]; twice {
			return d.fail("duplicate name")
		}
		value, err := d.Value()
		values[key] = value
		return err
	})
	if err != nil {
		return nil, err
	}
	return values, nil
}

func (d *Decoder) array() (any, error) {
	if err := d.enter('['); err != nil {
		return nil, err
	}
	values := []any{}
	for first := true; ; first = false {
		if d.Kind() == ']' && first {
			break
		}
		value, err := d.Value()
		if err != nil {
			return nil, err
		}
		values = append(values, value)
		if d.Kind() == ']' {
			break
		}
		if err := d.expect(','); err != nil {
			return nil, err
		}
	}
	return values, d.leave()
}

// enter reads the opening brace or bracket, leave the closing one, which the caller has seen.
func (d *Decoder) enter(open byte) error {
	if err := d.expect(open); err != nil {
		return err
	}
	if d.depth++; d.depth > MaxDepth {
		return d.fail("nested too deep")
	}
	return nil
}

func (d *Decoder) leave() error {
	d.pos++
	d.depth--
	return nil
}

func (d *Decoder) expect(want byte) error {
	if d.Kind() != want {
		return d.fail("expected " + string(rune(want)))
	}
	d.pos++
	return nil
}

func (d *Decoder) word(word string) error {
	if len(d.data)-d.pos < len(word) || string(d.data[d.pos:d.pos+len(word)]) != word {
		return d.fail("expected a value")
	}
	d.pos += len(word)
	return nil
}

func (d *Decoder) space() {
	for d.pos < len(d.data) {
		switch d.data[d.pos] {
		case ' ', '\t', '\n', '\r':
			d.pos++
		default:
			return
		}
	}
}

func (d *Decoder) fail(problem string) error {
	if d.pos >= len(d.data) {
		problem = "unexpected end"
	}
	return &SyntaxError{Offset: d.pos, Problem: problem}
}

// Text reads a string. Where it has no escapes the result is a part of the decoder's buffer; otherwise it is appended
// to scratch, which may be nil.
func (d *Decoder) Text(scratch []byte) ([]byte, error) {
	if err := d.expect('"'); err != nil {
		return nil, err
	}
	start := d.pos
	plain := true // printable ASCII so far
	for ; d.pos < len(d.data); d.pos++ {
		switch c := d.data[d.pos]; {
		case c == '"':
			text := d.data[start:d.pos]
			if !plain && !utf8.Valid(text) {
				return nil, d.fail("invalid UTF-8")
			}
			d.pos++
			return text, nil
		case c == '\\':
			return d.escaped(append(scratch, d.data[start:d.pos]...))
		case c < ' ':
			return nil, d.fail("control character in a string")
		case c >= utf8.RuneSelf:
			plain = false
		}
	}
	return nil, d.fail("unexpected end")
}
