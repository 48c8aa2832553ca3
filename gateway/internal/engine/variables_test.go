package engine

import (
	"reflect"
	"strings"
	"testing"

	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/parser"
)

const variableSchema = `
type Query { a: Int }
type Output { a: Int }
enum Colour { RED GREEN }
scalar Any
input Inner { need: Int! want: String = "w" list: [ID!] }
input Outer { inner: Inner! colour: Colour }
`

func TestVariables(t *testing.T) {
	schema := gqlparser.MustLoadSchema(&ast.Source{Input: variableSchema})
	type object = map[string]any
	type list = []any
	inner := func(fields object) object { return object{"v": object{"inner": fields}} }
	for _, test := range []struct {
		declared string
		values   object
		want     object // where there is no problem
		problem  string
	}{
		{"", object{"x": 1}, nil, ""},
		{"$v: Int", object{}, object{}, ""},
		{"$v: Int", object{"other": int64(1)}, object{}, ""},
		{"$v: Int", object{"v": nil}, object{"v": nil}, ""},
		{"$v: Int = 5", object{}, object{"v": int64(5)}, ""},
		{"$v: Int = 5", object{"v": nil}, object{"v": nil}, ""},
		{"$v: [String!] = [\"a\"]", nil, object{"v": list{"a"}}, ""},
		{"$v: Int!", object{}, nil, "a value is required"},
		{"$v: Int!", object{"v": nil}, nil, "null is not allowed"},
		{"$v: Int!", object{"v": int64(-2147483648)}, object{"v": int64(-2147483648)}, ""},
		{"$v: Int!", object{"v": 5.0}, object{"v": int64(5)}, ""},
		{"$v: Int!", object{"v": int64(2147483648)}, nil, "32 bits"},
		{"$v: Int!", object{"v": 2147483648.0}, nil, "32 bits"},
		{"$v: Int!", object{"v": 5.5}, nil, "32 bits"},
		{"$v: Int!", object{"v": "5"}, nil, "32 bits"},
		{"$v: Int!", object{"v": true}, nil, "32 bits"},
		{"$v: Float!", object{"v": int64(5)}, object{"v": int64(5)}, ""},
		{"$v: Float!", object{"v": "5"}, nil, "expected a value of type Float"},
		{"$v: String!", object{"v": int64(5)}, nil, "expected a value of type String"},
		{"$v: String!", object{"v": list{"a"}}, nil, "expected a value of type String"},
		{"$v: Boolean!", object{"v": "true"}, nil, "expected a value of type Boolean"},
		{"$v: Boolean!", object{"v": false}, object{"v": false}, ""},
		{"$v: ID!", object{"v": int64(5)}, object{"v": "5"}, ""},
		{"$v: ID!", object{"v": "a"}, object{"v": "a"}, ""},
		{"$v: ID!", object{"v": 5.5}, nil, "expected a value of type ID"},
		{"$v: Colour!", object{"v": "RED"}, object{"v": "RED"}, ""},
		{"$v: Colour!", object{"v": "red"}, nil, "enum Colour"},
		{"$v: Colour!", object{"v": int64(0)}, nil, "enum Colour"},
		{"$v: Any", object{"v": object{"x": list{nil}}}, object{"v": object{"x": list{nil}}}, ""},
		{"$v: [Int!]!", object{"v": int64(1)}, object{"v": list{int64(1)}}, ""},
		{"$v: [[Int]]", object{"v": int64(1)}, object{"v": list{list{int64(1)}}}, ""},
		{"$v: [Int!]!", object{"v": list{}}, object{"v": list{}}, ""},
		{"$v: [Int!]!", object{"v": list{int64(1), nil}}, nil, "at [1]: null is not allowed"},
		{"$v: [[Int]!]!", object{"v": list{list{int64(1), "x"}}}, nil, "at [0][1]: expected an Int"},
		{"$v: Outer!", inner(object{"need": int64(1)}), inner(object{"need": int64(1)}), ""},
		{"$v: Outer!", inner(object{"need": 1.0, "list": int64(7)}), inner(object{"need": int64(1), "list": list{"7"}}), ""},
		{"$v: Outer!", inner(object{}), nil, "at inner: the field need is required"},
		{"$v: Outer!", inner(object{"need": nil}), nil, "at inner.need: null is not allowed"},
		{"$v: Outer!", inner(object{"need": int64(1), "list": list{"a", nil}}), nil, "at inner.list[1]: null is not allowed"},
		{"$v: Outer!", inner(object{"need": int64(1), "more": 1}), nil, "at inner: Inner has no such field"},
		{"$v: Outer!", object{"v": list{}}, nil, "expected an object of type Outer"},
		{"$v: Output", object{"v": object{}}, nil, "not an input type"},
		{"$v: Nothing", object{"v": object{}}, nil, "unknown type"},
	} {
		text := "query { a }"
		if test.declared != "" {
			text = "query(" + test.declared + ") { a }"
		}
		doc, err := parser.ParseQuery(&ast.Source{Input: text})
		if err != nil {
			t.Fatal(err)
		}
		got, problem := coerceVariables(schema, doc.Operations[0].VariableDefinitions, test.values)
		switch {
		case test.problem == "" && problem != nil:
			t.Errorf("%s %v: %v", test.declared, test.values, problem)
		case test.problem == "" && !reflect.DeepEqual(got, test.want):
			t.Errorf("%s: got %#v, want %#v", test.declared, got, test.want)
		case test.problem != "" && (problem == nil || !strings.Contains(problem.Message, test.problem) || problem.Extensions["code"] != codeBadInput):
			t.Errorf("%s: got %v, want a problem with %q", test.declared, problem, test.problem)
		}
	}
}
