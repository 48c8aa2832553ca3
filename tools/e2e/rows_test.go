package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// lastRow is the number of the last feature that is taken over.
const lastRow = 85

// TestRows holds ROWS.md against the tests that are there.
func TestRows(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("ROWS.md")
	if err != nil {
		t.Fatal(err)
	}
	root := filepath.Join("..", "..")
	for _, problem := range wrongRows(string(page), func(folder string) string { return testsIn(t, filepath.Join(root, folder)) }, faultsIn(t, root)) {
		t.Error(problem)
	}
}

// A page that says more than there is, or less than it has to, is seen.
func TestRowsThatAreWrong(t *testing.T) {
	t.Parallel()
	sources := func(folder string) string {
		return map[string]string{"gateway": "func TestS1(t *testing.T) {\n{\"S2 some case\", f},"}[folder]
	}
	faults := `Name: "X1",`
	var good strings.Builder
	for n := 1; n <= lastRow; n++ {
		fmt.Fprintf(&good, "| S%d | L | a feature | gateway | `gateway.TestS1` |\n", n)
	}
	first := "| S1 | L | a feature | gateway | `gateway.TestS1` |\n"
	for name, test := range map[string]struct {
		with string // in the place of the first line
		want []string
	}{
		"good":               {first, nil},
		"a subtest, a fault": {"| S1 | L | a feature | gateway | `gateway.TestS1/S2_some` `fault X1` |\n", nil},
		"listed":             {"| S1 | L | a feature | gateway | |\n- S1, all of it: later\n", nil},
		"missing":            {"", []string{"S1 has 0 lines"}},
		"twice":              {first + first, []string{"S1 has 2 lines"}},
		"unknown":            {first + "| S86 | L | a feature | gateway | `gateway.TestS1` |\n", []string{"S86 is no row"}},
		"nothing shows it":   {"| S1 | L | a feature | gateway | |\n- S1, in part: later\n", []string{"S1 has nothing that shows it, and is not listed"}},
		"listed, and shown":  {first + "- S1, all of it: later\n", []string{"S1 is listed as not shown, and names what shows it"}},
		"no such test":       {"| S1 | L | a feature | gateway | `gateway.TestS` |\n", []string{"S1: no gateway.TestS"}},
		"no such subtest":    {"| S1 | L | a feature | gateway | `gateway.TestS1/other` |\n", []string{"S1: no gateway.TestS1/other"}},
		"no such folder":     {"| S1 | L | a feature | gateway | `other.TestS1` |\n", []string{"S1: no other.TestS1"}},
		"no such fault":      {"| S1 | L | a feature | gateway | `fault X` |\n", []string{"S1: no fault X"}},
		"neither":            {"| S1 | L | a feature | gateway | `TestS1` |\n", []string{"S1: TestS1 is neither a test in a folder nor a fault"}},
		"listed, unknown":    {first + "- S99, all of it: later\n", []string{"S99 is listed, and no row"}},
	} {
		if got := wrongRows(strings.Replace(good.String(), first, test.with, 1), sources, faults); !slices.Equal(got, test.want) {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
}

var (
	rowLine    = regexp.MustCompile(`(?m)^\| S(\d+) \|.*\|([^|]*)\|$`)
	listedLine = regexp.MustCompile(`(?m)^- S(\d+), (all of it|in part): `)
	quoted     = regexp.MustCompile("`([^`]+)`")
	testName   = regexp.MustCompile(`^([a-z0-9/-]+)\.(Test\w+)(?:/(.+))?$`)
)

// wrongRows says what is wrong with the page. The sources of a folder are those of its tests, "" where there are none.
func wrongRows(page string, sources func(folder string) string, faults string) []string {
	var wrong []string
	lines, shown, listed := map[string]int{}, map[string]int{}, map[string]bool{}
	for _, line := range rowLine.FindAllStringSubmatch(page, -1) {
		row := "S" + line[1]
		lines[row]++
		for _, reference := range quoted.FindAllStringSubmatch(line[2], -1) {
			shown[row]++
			if problem := wrongReference(reference[1], sources, faults); problem != "" {
				wrong = append(wrong, row+": "+problem)
			}
		}
	}
	known := map[string]bool{}
	for n := 1; n <= lastRow; n++ {
		known[fmt.Sprintf("S%d", n)] = true
	}
	for _, line := range listedLine.FindAllStringSubmatch(page, -1) {
		row := "S" + line[1]
		listed[row] = listed[row] || line[2] == "all of it"
		if !known[row] {
			wrong = append(wrong, row+" is listed, and no row")
		}
	}
	for n := 1; n <= lastRow; n++ {
		switch row := fmt.Sprintf("S%d", n); {
		case lines[row] != 1:
			wrong = append(wrong, fmt.Sprintf("%s has %d lines", row, lines[row]))
		case shown[row] == 0 && !listed[row]:
			wrong = append(wrong, row+" has nothing that shows it, and is not listed")
		case shown[row] > 0 && listed[row]:
			wrong = append(wrong, row+" is listed as not shown, and names what shows it")
		}
	}
	for row := range lines {
		if !known[row] {
			wrong = append(wrong, row+" is no row")
		}
	}
	return wrong
}

// wrongReference says why something that is said to show a row does not exist.
func wrongReference(reference string, sources func(folder string) string, faults string) string {
	if name, is := strings.CutPrefix(reference, "fault "); is {
		if !strings.Contains(faults, `Name: "`+name+`"`) {
			return "no " + reference
		}
		return ""
	}
	parts := testName.FindStringSubmatch(reference)
	if parts == nil {
		return reference + " is neither a test in a folder nor a fault"
	}
	text := sources(parts[1])
	// Part of a name, as for go test -run, which writes blanks so.
	subtest := regexp.MustCompile(`"[^"\n]*\b` + regexp.QuoteMeta(strings.ReplaceAll(parts[3], "_", " ")) + `\b[^"\n]*"`)
	if !strings.Contains(text, "\nfunc "+parts[2]+"(t ") && !strings.HasPrefix(text, "func "+parts[2]+"(t ") ||
		parts[3] != "" && !subtest.MatchString(text) {
		return "no " + reference
	}
	return ""
}

// testsIn is the text of all tests in a folder.
func testsIn(t *testing.T, folder string) string {
	t.Helper()
	return texts(t, filepath.Join(folder, "*_test.go"))
}

// faultsIn is the text of the table of faults.
func faultsIn(t *testing.T, root string) string {
	t.Helper()
	return texts(t, filepath.Join(root, "tools", "faults", "internal", "rows", "*.go"))
}

func texts(t *testing.T, pattern string) string {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(text)
		all.WriteString("\n")
	}
	return all.String()
}
