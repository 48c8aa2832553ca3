package engine

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
)

// coerceVariables checks the values that a request sent against the declarations, as the section "Coercing Variable
// Values" of the GraphQL specification says. The values are what strictjson makes of JSON; lists and objects among
// them may be changed in place. It is stricter than the validator's own: "1" is no Int, and 1 no String.
func coerceVariables(
	schema *ast.Schema, declared ast.VariableDefinitionList, values map[string]any,
) (map[string]any, *gqlerror.Error) {
	if len(declared) == 0 {
		return nil, nil
	}
	c := coercion{schema: schema}
	bound := make(map[string]any, len(declared))
	for _, variable := range declared {
		value, given := values[variable.Variable]
		switch {
		case !given && variable.DefaultValue != nil:
			literal, err := variable.DefaultValue.Value(nil)
			if err != nil {
				return nil, variableError(variable, "its default value is not valid")
			}
			bound[variable.Variable] = literal
			continue
		case !given && variable.Type.NonNull:
			return nil, variableError(variable, "a value is required")
		case !given:
			continue
		}
		c.path = c.path[:0]
		coerced, problem := c.value(variable.Type, value)
		if problem != "" {
			if len(c.path) > 0 {
				slices.Reverse(c.path)
				problem = "at " + strings.TrimPrefix(strings.Join(c.path, ""), ".") + ": " + problem
			}
			return nil, variableError(variable, problem)
		}
		bound[variable.Variable] = coerced
	}
	return bound, nil
}

func variableError(variable *ast.VariableDefinition, problem string) *gqlerror.Error {
	err := gqlerror.ErrorPosf(variable.Position, "Variable $%s: %s", variable.Variable, problem)
	setCode(err, codeBadInput)
	return err
}

// coercion checks one value after the other. Only an error has a path, written from its end.
type coercion struct {
	schema *ast.Schema
	path   []string
}

// value returns the value to use, or what is wrong with it.
func (c *coercion) value(want *ast.Type, value any) (any, string) {
	if value == nil {
		if want.NonNull {
			return nil, "null is not allowed"
		}
		return nil, ""
	}
	if want.Elem != nil {
		return c.list(want.Elem, value)
	}
	definition := c.schema.Types[want.NamedType]
	if definition == nil {
		return nil, "unknown type"
	}
	switch definition.Kind {
	case ast.Scalar:
		return scalar(want.NamedType, value)
	case ast.Enum:
		if name, ok := value.(string); ok && definition.EnumValues.ForName(name) != nil {
			return value, ""
		}
		return nil, "expected a value of the enum " + definition.Name
	case ast.InputObject:
		return c.object(definition, value)
	case ast.Object, ast.Interface, ast.Union:
		return nil, definition.Name + " is not an input type"
	default:
		return nil, "unknown kind of type"
	}
}

// list takes a single value for a list of one.
func (c *coercion) list(element *ast.Type, value any) (any, string) {
	items, ok := value.([]any)
	if !ok {
		items = []any{value}
	}
	for i, item := range items {
		coerced, problem := c.value(element, item)
		if problem != "" {
			c.path = append(c.path, "["+strconv.Itoa(i)+"]")
			return nil, problem
		}
		items[i] = coerced
	}
	return items, ""
}

func (c *coercion) object(definition *ast.Definition, value any) (any, string) {
	fields, ok := value.(map[string]any)
	if !ok {
		return nil, "expected an object of type " + definition.Name
	}
	known := 0
	for _, field := range definition.Fields {
		given, present := fields[field.Name]
		if !present {
			if field.Type.NonNull && field.DefaultValue == nil {
				return nil, "the field " + field.Name + " is required"
			}
			continue
		}
		known++
		coerced, problem := c.value(field.Type, given)
		if problem != "" {
			c.path = append(c.path, "."+field.Name)
			return nil, problem
		}
		fields[field.Name] = coerced
	}
	if known < len(fields) {
		return nil, definition.Name + " has no such field as one that was sent"
	}
	return fields, ""
}

func scalar(name string, value any) (any, string) {
	switch name {
	case "String":
		if _, ok := value.(string); ok {
			return value, ""
		}
	case "Int":
		if n, ok := whole(value); ok && n >= math.MinInt32 && n <= math.MaxInt32 {
			return n, ""
		}
		return nil, "expected an Int, a whole number of 32 bits"
	case "Float":
		switch value.(type) {
		case int64, float64:
			return value, ""
		}
	case "Boolean":
		if _, ok := value.(bool); ok {
			return value, ""
		}
	case "ID":
		switch id := value.(type) {
		case string:
			return value, ""
		case int64:
			return strconv.FormatInt(id, 10), ""
		}
	default:
		return value, "" // its own type reads it
	}
	return nil, "expected a value of type " + name
}

func whole(value any) (int64, bool) {
	switch n := value.(type) {
	case int64:
		return n, true
	case float64:
		if n == math.Trunc(n) && math.Abs(n) <= math.MaxInt32+1 {
			return int64(n), true
		}
	}
	return 0, false
}
