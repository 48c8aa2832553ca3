package engine

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"github.com/vektah/gqlparser/v2/parser"
	"github.com/vektah/gqlparser/v2/validator"
	"github.com/vektah/gqlparser/v2/validator/rules"

	"github.com/littlevote/littlevote/gateway/internal/answer"
)

// Config bounds an Engine.
type Config struct {
	Limits        Limits
	CacheBytes    int
	KnownBytes    int  // of documents that clients call by their hash; 0: none are
	Introspection bool // answer __schema and __type; a federation router's _service works either way
	Language      answer.Language
}

// Engine executes documents. It is safe for concurrent use.
type Engine struct {
	cfg     Config
	schema  graphql.ExecutableSchema
	rules   *rules.Rules
	weights map[string]weight
	cache   *cache
	hashes  *cache // by the hash that clients call a document by
	running running
	present *presenter
}

// running is what every operation needs, bound once: a method value made for each request would be garbage.
type running struct {
	resolve graphql.FieldMiddleware
	root    graphql.RootFieldMiddleware
	present graphql.ErrorPresenterFunc
	recover graphql.RecoverFunc
}

// New returns an engine over the generated schema.
func New(schema graphql.ExecutableSchema, cfg Config, texts *answer.Texts, log *slog.Logger) *Engine {
	p := &presenter{texts: texts, fallback: cfg.Language, log: log}
	return &Engine{
		cfg:     cfg,
		present: p,
		schema:  schema,
		rules:   newRules(cfg.Introspection),
		weights: weights(),
		cache:   newCache(cfg.CacheBytes),
		hashes:  newCache(cfg.KnownBytes),
		running: running{
			resolve: p.resolve,
			root:    func(ctx context.Context, next graphql.RootResolver) graphql.Marshaler { return next(ctx) },
			present: p.present,
			recover: p.recovered,
		},
	}
}

// newRules leaves out suggestions ("Did you mean …") where the schema is not to be told.
func newRules(introspection bool) *rules.Rules {
	all := rules.NewDefaultRules()
	if introspection {
		return all
	}
	for _, rule := range []struct{ with, without validator.Rule }{
		{rules.FieldsOnCorrectTypeRule, rules.FieldsOnCorrectTypeRuleWithoutSuggestions},
		{rules.KnownArgumentNamesRule, rules.KnownArgumentNamesRuleWithoutSuggestions},
		{rules.KnownTypeNamesRule, rules.KnownTypeNamesRuleWithoutSuggestions},
		{rules.ScalarLeafsRule, rules.ScalarLeafsRuleWithoutSuggestions},
		{rules.ValuesOfCorrectTypeRule, rules.ValuesOfCorrectTypeRuleWithoutSuggestions},
	} {
		all.RemoveRule(rule.with.Name)
		all.AddRule(rule.without.Name, rule.without.RuleFunc)
	}
	return all
}

// Document is a document that may be executed. Requests share it.
type Document struct {
	text     string
	doc      *ast.QueryDocument
	sessions bool  // it may begin or end one
	roots    []int // how many fields each operation has at its root
}

// Prepare returns the document with this text, or what is wrong with it. It does not keep text.
func (e *Engine) Prepare(text []byte) (*Document, gqlerror.List) {
	if known := e.cache.get(text); known != nil {
		return known, nil
	}
	document := &Document{text: string(text), sessions: bytes.Contains(text, []byte("log"))} // login or logout
	var err error
	document.doc, err = parser.ParseQueryWithTokenLimit(&ast.Source{Input: document.text}, e.cfg.Limits.Tokens)
	if err != nil {
		return nil, parseError(err)
	}
	var limit *gqlerror.Error
	if document.roots, limit = e.measure(document.doc); limit != nil {
		return nil, shorten(gqlerror.List{limit})
	}
	if list := validator.ValidateWithRules(e.schema.Schema(), document.doc, e.rules); len(list) > 0 {
		for _, err := range list {
			setCode(err, codeInvalid)
		}
		return nil, shorten(list)
	}
	e.cache.put(document.text, document, weighDocument(document.text))
	return document, nil
}

// weighDocument estimates the bytes that a document takes: measured, a syntax tree is 15 to 25 times its text.
func weighDocument(text string) int {
	const tree, base = 25, 2048
	return len(text)*tree + base
}

func parseError(err error) gqlerror.List {
	var shown *gqlerror.Error
	if !errors.As(err, &shown) {
		shown = &gqlerror.Error{Message: err.Error()}
	}
	setCode(shown, codeParse)
	return shorten(gqlerror.List{shown})
}

// Known returns the document that clients call by this hash, nil if it is not here, or not any more.
func (e *Engine) Known(hash string) *Document { return e.hashes.get([]byte(hash)) }

// Remember lets clients call a document by a hash, which is that of its text.
func (e *Engine) Remember(hash string, document *Document) {
	if e.Known(hash) == nil {
		e.hashes.put(hash, document, weighDocument(document.text))
	}
}

// Remembers reports whether clients may call documents by their hashes.
func (e *Engine) Remembers() bool { return e.cfg.KnownBytes > 0 }

// measure refuses what the limits forbid, and returns how many fields each operation has at its root.
func (e *Engine) measure(doc *ast.QueryDocument) ([]int, *gqlerror.Error) {
	if len(doc.Operations) == 0 {
		err := gqlerror.Errorf("the document has no operation")
		setCode(err, codeInvalid)
		return nil, err
	}
	count := &counter{weights: e.weights, fragments: doc.Fragments, known: make(map[string]*sum, len(doc.Fragments))}
	if err := count.check(doc, e.cfg.Limits); err != nil {
		return nil, err
	}
	if count.introspection && !e.cfg.Introspection {
		err := gqlerror.Errorf("introspection is switched off")
		setCode(err, codeIntrospection)
		return nil, err
	}
	return count.roots, nil
}

// Operation is one operation of a document with its variables.
type Operation struct {
	document   *Document
	definition *ast.OperationDefinition
	roots      int
	name       string
	variables  map[string]any
}

// Select finds the operation to execute; the name may be empty where there is only one.
func (d *Document) Select(name string) (Operation, gqlerror.List) {
	operations := d.doc.Operations
	if name == "" && len(operations) > 1 {
		return Operation{}, operationError("the document has several operations: name one")
	}
	for i, definition := range operations {
		if name == "" || definition.Name == name {
			return Operation{document: d, definition: definition, roots: d.roots[i], name: name}, nil
		}
	}
	return Operation{}, operationError("the document has no operation of this name")
}

func operationError(message string) gqlerror.List {
	err := &gqlerror.Error{Message: message}
	setCode(err, codeOperation)
	return gqlerror.List{err}
}

// Roots is how many fields the operation has at its root.
func (o Operation) Roots() int { return o.roots }

// Mutation reports whether the operation may change something.
func (o Operation) Mutation() bool { return o.definition.Operation == ast.Mutation }

// Field is the root field of the operation, by its name in the schema; "several" where there is not one alone. So there are no more of
// them than the schema has, whatever clients call their operations.
func (o Operation) Field() string {
	if set := o.definition.SelectionSet; len(set) == 1 {
		if field, ok := set[0].(*ast.Field); ok {
			return field.Name
		}
	}
	return "several"
}

// Session reports whether the operation may begin or end the caller's session.
func (o Operation) Session() bool { return o.Mutation() && o.document.sessions }

// Bind gives the operation its variables, checked against their types. Names that the operation does not declare are
// left out.
func (e *Engine) Bind(operation *Operation, values map[string]any) gqlerror.List {
	bound, err := coerceVariables(e.schema.Schema(), operation.definition.VariableDefinitions, values)
	if err != nil {
		return shorten(gqlerror.List{err})
	}
	operation.variables = bound
	return nil
}

// Refusal is what the sender of a request is told that is not executed, in the language that its header asks for.
func (e *Engine) Refusal(why *answer.Refusal, header http.Header) *gqlerror.Error {
	shown := &gqlerror.Error{}
	e.present.say(shown, why, answer.Negotiate(header.Get("Accept-Language"), e.cfg.Language))
	return shown
}

// Execute runs a query or a mutation. The answer's data is a JSON object or null.
func (e *Engine) Execute(ctx context.Context, operation Operation, header http.Header) *graphql.Response {
	ctx, span := operation.startSpan(ctx)
	ctx = graphql.WithOperationContext(ctx, e.contextOf(operation, header))
	ctx = e.withErrors(ctx)
	response := e.schema.Exec(ctx)(ctx)
	response.Errors = append(response.Errors, graphql.GetErrors(ctx)...)
	endSpan(span, response.Errors)
	return response
}

// contextOf is what the executor needs to know of an operation.
func (e *Engine) contextOf(operation Operation, header http.Header) *graphql.OperationContext {
	return &graphql.OperationContext{
		RawQuery:               operation.document.text,
		OperationName:          operation.name,
		Doc:                    operation.document.doc,
		Operation:              operation.definition,
		Variables:              operation.variables,
		Headers:                header,
		DisableIntrospection:   !e.cfg.Introspection,
		RecoverFunc:            e.running.recover,
		ResolverMiddleware:     e.running.resolve,
		RootResolverMiddleware: e.running.root,
	}
}
