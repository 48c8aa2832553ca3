package account

import (
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/secure/precis"

	"github.com/littlevote/littlevote/services/blog-service/internal/refusal"
)

const (
	minName, maxName         = 3, 32
	minPassword, maxPassword = 8, 128
	maxBytes                 = 4 * maxPassword // whatever is longer is not looked at
)

// checkName returns a name as it is kept, and the key under which two names are the same (RFC 8265).
func checkName(text string) (name, key string, err error) {
	wrong := refusal.Invalid("name: expected %d to %d letters, digits, marks or _ . -, the first a letter or a digit", minName, maxName)
	if len(text) > maxBytes {
		return "", "", wrong
	}
	if name, err = precis.UsernameCasePreserved.String(text); err != nil {
		return "", "", wrong
	}
	if key, err = precis.UsernameCaseMapped.CompareKey(name); err != nil {
		return "", "", wrong
	}
	if n := utf8.RuneCountInString(name); n < minName || n > maxName {
		return "", "", wrong
	}
	for i, r := range name {
		plain := unicode.IsLetter(r) || unicode.IsDigit(r)
		if !plain && (i == 0 || !unicode.IsMark(r) && r != '_' && r != '.' && r != '-') {
			return "", "", wrong
		}
	}
	return name, key, nil
}

// checkPassword returns a password in the one form that all keyboards' ways of writing it have (RFC 8265).
func checkPassword(text string) (string, error) {
	wrong := refusal.Invalid("password: expected %d to %d characters, without control characters", minPassword, maxPassword)
	if len(text) > maxBytes {
		return "", wrong
	}
	password, err := precis.OpaqueString.String(text)
	if err != nil {
		return "", wrong
	}
	if n := utf8.RuneCountInString(password); n < minPassword || n > maxPassword {
		return "", wrong
	}
	return password, nil
}
