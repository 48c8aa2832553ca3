package config

import (
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/confmap"
	"github.com/knadh/koanf/v2"
)

const hidden = "[hidden]"

// Print writes the settings in effect as YAML that Load could read again but for the secrets, which are "[hidden]".
func (l *Loader) Print(w io.Writer) error {
	values := map[string]any{}
	for _, s := range l.settings {
		value, err := s.redacted()
		if err != nil {
			return fmt.Errorf("config: %s: %w", s.key, err)
		}
		values[s.key] = value
	}
	out := koanf.New(".")
	if err := out.Load(confmap.Provider(values, "."), nil); err != nil {
		return fmt.Errorf("config: %w", err)
	}
	text, err := out.Marshal(yaml.Parser())
	if err != nil {
		return fmt.Errorf("config: %w", err)
	}
	_, err = w.Write(text)
	return err
}

// shown is the value on one line, for --help.
func (s *setting) shown() (string, error) {
	value, err := s.redacted()
	if err != nil {
		return "", err
	}
	if items, ok := value.([]string); ok {
		return strings.Join(items, ","), nil
	}
	return fmt.Sprint(value), nil
}

// redacted is the plain value without what nobody may see: secrets, and whatever came from a file. An empty secret stays empty: that it is missing is no secret.
func (s *setting) redacted() (any, error) {
	value, err := plain(s.fields[0])
	if err != nil {
		return nil, err
	}
	switch value := value.(type) {
	case string:
		return s.redactText(value), nil
	case []string:
		for i := range value {
			value[i] = s.redactText(value[i])
		}
		return value, nil
	default:
		if s.secret || s.hides {
			return hidden, nil
		}
		return value, nil
	}
}

func (s *setting) redactText(text string) string {
	if (s.secret || s.hides) && text != "" {
		return hidden
	}
	return redactURL(text)
}

// redactURL hides the passwords of a URL or of a Postgres connection string: user:password@ and password=. It goes by
// patterns and not by a parser, because a URL that does not parse must not show its password either.
func redactURL(text string) string {
	userinfo := regexp.MustCompile(`(://[^/?#:@\s]*):\S*@`)
	parameter := regexp.MustCompile(`(?i)(\w*(?:password|passwd|secret|token)\s*=\s*)('(?:[^'\\]|\\.)*'|[^\s&;]+)`)
	text = userinfo.ReplaceAllString(text, "$1:"+hidden+"@")
	return parameter.ReplaceAllString(text, "${1}"+hidden)
}
