package answer

import (
	"fmt"
	"strconv"
	"strings"
)

// Language is one that the texts exist in.
type Language uint8

// The languages.
const (
	Chinese Language = iota
	English
	languages // how many there are
)

// ParseLanguage reads the name of a language in the settings.
func ParseLanguage(name string) (Language, error) {
	switch name {
	case "zh":
		return Chinese, nil
	case "en":
		return English, nil
	default:
		return 0, fmt.Errorf("expected zh or en, got %q", name)
	}
}

// Negotiate picks the language that an Accept-Language header likes best; fallback where it names none of ours.
func Negotiate(header string, fallback Language) Language {
	if header == "" {
		return fallback
	}
	best, bestQuality := fallback, 0.0
	for part := range strings.SplitSeq(header, ",") {
		tag, parameters, _ := strings.Cut(strings.TrimSpace(part), ";")
		language, known := fallback, false
		switch primary, _, _ := strings.Cut(strings.ToLower(strings.TrimSpace(tag)), "-"); primary {
		case "zh":
			language, known = Chinese, true
		case "en":
			language, known = English, true
		}
		if q := quality(parameters); known && q > bestQuality {
			best, bestQuality = language, q
		}
	}
	return best
}

// quality reads ";q=0.8"; 1 without it, 0 where it can't be read.
func quality(parameters string) float64 {
	name, value, found := strings.Cut(parameters, "=")
	if !found || !strings.EqualFold(strings.TrimSpace(name), "q") {
		return 1
	}
	q, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
	if err != nil || q < 0 || q > 1 {
		return 0
	}
	return q
}
