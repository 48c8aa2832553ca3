package engine

import (
	"strconv"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
)

// Limits bound one document. Each is checked after fragments are expanded, without expanding them.
type Limits struct {
	Tokens     int // lexical tokens of the text
	Depth      int // fields within fields
	Aliases    int // fields with an alias
	Mutations  int // root fields of a mutation
	Complexity int // values in the answer, about: lists count by the lengths below
}

// sum is what a selection costs. Sums stop growing at ceiling, so that no document overflows them.
type sum struct {
	direct     int // fields at its own level
	depth      int
	aliases    int
	complexity int
}

const ceiling = 1 << 40

func add(a, b int) int { return min(a+b, ceiling) }

// weight is what a field costs by itself, and how many times what is below it is counted: for lists, how long they
// usually are. A field that is not named costs 1.
type weight struct {
	own, times int
	paged      bool // its argument first says how many times
}

// anyPage is what a page counts for whose length is a variable: it is not known yet.
const anyPage = 100

// weights goes by field names alone: in this schema no name is a list here and something else there. A list of open
// candidates may hold 10,000, so getAllUserVotes weighs more than the 26 of the ballot main.
func weights() map[string]weight {
	return map[string]weight{
		"getTicket":       {own: 10, times: 1},
		"getUserVotes":    {own: 10, times: 1},
		"getAllUserVotes": {own: 10, times: 500},
		"vote":            {own: 100, times: 1},
		"ticketAndVote":   {own: 100, times: 1},
		"usernames":       {own: 4, times: 1},
		"choices":         {own: 1, times: 4},
		"totals":          {own: 1, times: 4},
		"tally":           {own: 10, times: 1},
		"counts":          {own: 1, times: 500},
		"ballots":         {own: 100, times: 20, paged: true},
		"auditLog":        {own: 100, times: 20, paged: true},
		"voids":           {own: 100, times: 20},
		"ranking":         {own: 20, times: 10, paged: true},
		"myVotes":         {own: 20, times: 20, paged: true},
		"result":          {own: 20, times: 1},
		"entries":         {own: 1, times: 1}, // as many as the page around them says
		"finalCounts":     {own: 1, times: 500},
		"candidates":      {own: 26, times: 1},
		"scopes":          {own: 4, times: 1},
		"createBallot":    {own: 100, times: 1},
		"updateBallot":    {own: 100, times: 1},
		"closeBallot":     {own: 100, times: 1},
		"certifyBallot":   {own: 100, times: 1},
		"proposeVoid":     {own: 100, times: 1},
		"approveVoid":     {own: 100, times: 1},
		"retractVote":     {own: 100, times: 1},
		"changeVote":      {own: 100, times: 1},
		"hasLiked":        {own: 100, times: 1},
		"article":         {own: 10, times: 1},
		"articles":        {own: 20, times: 1},
		"posts":           {own: 1, times: 20},
		"myLikes":         {own: 100, times: 1},
		"likers":          {own: 100, times: 1},
		"likes":           {own: 10, times: 20},
		"like":            {own: 100, times: 1},
		"unlike":          {own: 100, times: 1},
		"register":        {own: 1000, times: 1},
		"login":           {own: 1000, times: 1},
		"logout":          {own: 100, times: 1},
		"createPost":      {own: 100, times: 1},
		"_entities":       {own: 10, times: 100},
		"_service":        {own: 100, times: 1},
		// Introspection: about what this schema holds.
		"types":         {own: 1, times: 20},
		"fields":        {own: 1, times: 4},
		"args":          {own: 1, times: 1},
		"inputFields":   {own: 1, times: 2},
		"enumValues":    {own: 1, times: 2},
		"directives":    {own: 1, times: 6},
		"locations":     {own: 4, times: 1},
		"possibleTypes": {own: 1, times: 1},
		"interfaces":    {own: 1, times: 1},
	}
}

// counter measures one document, before it is validated: it may name fields and fragments that don't exist.
type counter struct {
	weights       map[string]weight
	fragments     ast.FragmentDefinitionList
	known         map[string]*sum // nil while the fragment is being counted
	introspection bool            // __schema or __type was seen
	roots         []int           // how many fields each operation has at its root
}

// check returns an error for the first operation that breaks a limit.
func (c *counter) check(doc *ast.QueryDocument, limits Limits) *gqlerror.Error {
	for _, operation := range doc.Operations {
		total, err := c.selections(operation.SelectionSet)
		if err != nil {
			return err
		}
		c.roots = append(c.roots, total.direct)
		switch {
		case total.depth > limits.Depth:
			return limitError(operation.Position, "fields nest %d deep, at most %d are allowed", total.depth, limits.Depth)
		case total.aliases > limits.Aliases:
			return limitError(operation.Position, "there are %d aliases, at most %d are allowed", total.aliases, limits.Aliases)
		case operation.Operation == ast.Mutation && total.direct > limits.Mutations:
			return limitError(operation.Position, "there are %d mutations, at most %d are allowed", total.direct, limits.Mutations)
		case total.complexity > limits.Complexity:
			return limitError(operation.Position, "the complexity is %d, at most %d is allowed", total.complexity, limits.Complexity)
		}
	}
	return nil
}

func limitError(at *ast.Position, format string, args ...any) *gqlerror.Error {
	err := gqlerror.ErrorPosf(at, format, args...)
	setCode(err, codeLimit)
	return err
}

func (c *counter) selections(set ast.SelectionSet) (sum, *gqlerror.Error) {
	var total sum
	for _, selection := range set {
		var part sum
		var err *gqlerror.Error
		switch selection := selection.(type) {
		case *ast.Field:
			part, err = c.field(selection)
		case *ast.InlineFragment:
			part, err = c.selections(selection.SelectionSet)
		case *ast.FragmentSpread:
			part, err = c.spread(selection)
		}
		if err != nil {
			return sum{}, err
		}
		total.direct = add(total.direct, part.direct)
		total.depth = max(total.depth, part.depth)
		total.aliases = add(total.aliases, part.aliases)
		total.complexity = add(total.complexity, part.complexity)
	}
	return total, nil
}

func (c *counter) field(field *ast.Field) (sum, *gqlerror.Error) {
	if field.Name == "__schema" || field.Name == "__type" {
		c.introspection = true
	}
	below, err := c.selections(field.SelectionSet)
	if err != nil {
		return sum{}, err
	}
	cost, named := c.weights[field.Name]
	if !named {
		cost = weight{own: 1, times: 1}
	}
	times := cost.times
	if cost.paged {
		times = pageLength(field, times)
	}
	total := sum{
		direct:     1,
		depth:      add(below.depth, 1),
		aliases:    below.aliases,
		complexity: add(cost.own, min(times*below.complexity, ceiling)),
	}
	if field.Alias != field.Name {
		total.aliases = add(total.aliases, 1)
	}
	return total, nil
}

// pageLength is how many entries a page is asked to have. What its resolver refuses counts as well: it may be any number.
func pageLength(field *ast.Field, usual int) int {
	first := field.Arguments.ForName("first")
	if first == nil || first.Value == nil {
		return usual
	}
	n, err := strconv.Atoi(first.Value.Raw)
	if first.Value.Kind != ast.IntValue || err != nil {
		return anyPage
	}
	return min(max(n, 1), 1<<20)
}

func (c *counter) spread(spread *ast.FragmentSpread) (sum, *gqlerror.Error) {
	if total, seen := c.known[spread.Name]; seen {
		if total == nil {
			err := gqlerror.ErrorPosf(spread.Position, "Cannot spread fragment %q within itself.", spread.Name)
			setCode(err, codeInvalid)
			return sum{}, err
		}
		return *total, nil
	}
	definition := c.fragments.ForName(spread.Name)
	if definition == nil {
		return sum{}, nil // the validator says so
	}
	c.known[spread.Name] = nil
	total, err := c.selections(definition.SelectionSet)
	if err != nil {
		return sum{}, err
	}
	c.known[spread.Name] = &total
	return total, nil
}
