package httpapi

import (
	"strconv"
	"strings"
)

// format is a media type of answers.
type format uint8

const (
	// legacy is application/json: every well-formed request is 200, whatever the document.
	legacy format = iota
	// modern is application/graphql-response+json: documents that can't be executed are 400.
	modern
	formats // how many there are
)

const (
	typeLegacy = "application/json"
	typeModern = "application/graphql-response+json"
)

// negotiate picks the format that an Accept header likes best; false where it takes neither. Other types in the header,
// such as those of streams, don't count.
func negotiate(header []string) (format, bool) {
	if len(header) == 0 || len(header) == 1 && (header[0] == typeLegacy || header[0] == "*/*" || header[0] == "") {
		return legacy, true
	}
	var best [formats]preference
	for _, line := range header {
		for item := range strings.SplitSeq(line, ",") {
			mediaRange, parameters, _ := strings.Cut(item, ";")
			given := preference{quality: quality(parameters)}
			switch strings.ToLower(strings.TrimSpace(mediaRange)) {
			case typeModern:
				given.exactness = exact
				best[modern].refine(given)
			case typeLegacy:
				given.exactness = exact
				best[legacy].refine(given)
			case "application/*":
				given.exactness = subtype
				best[modern].refine(given)
				best[legacy].refine(given)
			case "*/*":
				given.exactness = anything
				best[modern].refine(given)
				best[legacy].refine(given)
			}
		}
	}
	// Only who names the modern format, or refuses the other, gets it: a wildcard keeps its old meaning.
	named := best[modern].exactness == exact && best[modern].quality >= best[legacy].quality
	if best[modern].quality > 0 && (named || best[legacy].quality == 0) {
		return modern, true
	}
	return legacy, best[legacy].quality > 0
}

// preference is what a header says of one format. Of several ranges that match, the most exact one counts.
type preference struct {
	exactness int
	quality   float64
}

const (
	anything = iota + 1
	subtype
	exact
)

func (p *preference) refine(given preference) {
	if given.exactness > p.exactness {
		*p = given
	}
}

// quality reads the q among the parameters: 1 without one, 0 where it can't be read.
func quality(parameters string) float64 {
	for parameter := range strings.SplitSeq(parameters, ";") {
		name, value, found := strings.Cut(parameter, "=")
		if !found || !strings.EqualFold(strings.TrimSpace(name), "q") {
			continue
		}
		q, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
		if err != nil || q < 0 || q > 1 {
			return 0
		}
		return q
	}
	return 1
}
