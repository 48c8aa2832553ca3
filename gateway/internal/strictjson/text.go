package strictjson

import (
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// escaped goes on with a string from its first backslash; text holds what came before.
func (d *Decoder) escaped(text []byte) ([]byte, error) {
	for d.pos < len(d.data) {
		c := d.data[d.pos]
		switch {
		case c == '"':
			if !utf8.Valid(text) {
				return nil, d.fail("invalid UTF-8")
			}
			d.pos++
			return text, nil
		case c == '\\':
			var err error
			if text, err = d.escape(text); err != nil {
				return nil, err
			}
		case c < ' ':
			return nil, d.fail("control character in a string")
		default:
			text = append(text, c)
			d.pos++
		}
	}
	return nil, d.fail("unexpected end")
}

// escape reads one escape sequence.
func (d *Decoder) escape(text []byte) ([]byte, error) {
	if d.pos++; d.pos == len(d.data) {
		return nil, d.fail("unexpected end")
	}
	c := d.data[d.pos]
	d.pos++
	switch c {
	case '"', '\\', '/':
		return append(text, c), nil
	case 'b':
		return append(text, '\b'), nil
	case 'f':
		return append(text, '\f'), nil
	case 'n':
		return append(text, '\n'), nil
	case 'r':
		return append(text, '\r'), nil
	case 't':
		return append(text, '\t'), nil
	case 'u':
		r, err := d.codePoint()
		if err != nil {
			return nil, err
		}
		return utf8.AppendRune(text, r), nil
	default:
		d.pos--
		return nil, d.fail("unknown escape")
	}
}

// codePoint reads the digits after \u, and the second half of a surrogate pair.
func (d *Decoder) codePoint() (rune, error) {
	r, err := d.hex()
	if err != nil || !utf16.IsSurrogate(r) {
		return r, err
	}
	if len(d.data)-d.pos < 2 || d.data[d.pos] != '\\' || d.data[d.pos+1] != 'u' {
		return 0, d.fail("lone surrogate")
	}
	d.pos += 2
	low, err := d.hex()
	if err != nil {
		return 0, err
	}
	if r = utf16.DecodeRune(r, low); r == utf8.RuneError {
		return 0, d.fail("lone surrogate")
	}
	return r, nil
}

func (d *Decoder) hex() (rune, error) {
	const digits = 4
	var r rune
	for range digits {
		if d.pos == len(d.data) {
			return 0, d.fail("unexpected end")
		}
		c := d.data[d.pos]
		switch {
		case '0' <= c && c <= '9':
			r = r<<4 | rune(c-'0')
		case 'a' <= c|0x20 && c|0x20 <= 'f':
			r = r<<4 | rune(c|0x20-'a'+10)
		default:
			return 0, d.fail("expected four hexadecimal digits")
		}
		d.pos++
	}
	return r, nil
}

// number reads a whole number as int64 where it fits, any other as float64.
func (d *Decoder) number() (any, error) {
	start := d.pos
	if d.at('-') {
		d.pos++
	}
	if d.at('0') {
		d.pos++
	} else if err := d.digits(); err != nil {
		return nil, err
	}
	whole := true
	if d.at('.') {
		whole = false
		d.pos++
		if err := d.digits(); err != nil {
			return nil, err
		}
	}
	if d.at('e') || d.at('E') {
		whole = false
		if d.pos++; d.at('+') || d.at('-') {
			d.pos++
		}
		if err := d.digits(); err != nil {
			return nil, err
		}
	}
	text := string(d.data[start:d.pos])
	if whole {
		if n, err := strconv.ParseInt(text, 10, 64); err == nil {
			return n, nil
		}
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return nil, &SyntaxError{Offset: start, Problem: "number out of range"}
	}
	return f, nil
}

func (d *Decoder) at(c byte) bool { return d.pos < len(d.data) && d.data[d.pos] == c }

func (d *Decoder) digits() error {
	start := d.pos
	for d.pos < len(d.data) && '0' <= d.data[d.pos] && d.data[d.pos] <= '9' {
		d.pos++
	}
	if d.pos == start {
		return d.fail("expected a value")
	}
	return nil
}
