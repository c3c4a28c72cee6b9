package web

import (
	"encoding/json"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/decider/explain"
)

var update = flag.Bool("update", false, "write what is generated")

// described are the words that a type may be, which Go does not know of a type.
var described = map[reflect.Type]any{
	reflect.TypeFor[bus.Scope]():         bus.Scopes(),
	reflect.TypeFor[bus.RefreshAction](): bus.RefreshActions(),
	reflect.TypeFor[bus.VMVerb]():        bus.VMVerbs(),
	reflect.TypeFor[Role]():              append([]Role{""}, Roles()...),
	reflect.TypeFor[Reason]():            Reasons(),
}

type object = map[string]any

// describer makes schemas of Go types, with their comments.
type describer struct {
	schemas object
	types   map[string]reflect.Type // of the schemas
	docs    map[string]string       // by package.Type, and by package.Type.Field
}

func docKey(t reflect.Type) string { return path.Base(t.PkgPath()) + "." + t.Name() }

func ref(name string) object { return object{"$ref": "#/components/schemas/" + name} }

// of is the schema of a type; structs are named, and described once.
func (d *describer) of(t reflect.Type) object {
	if words, is := described[t]; is {
		return object{"type": "string", "enum": words}
	}
	switch {
	case t == reflect.TypeFor[time.Time]():
		return object{"type": "string", "format": "date-time"}
	case t.Kind() == reflect.Pointer:
		return d.of(t.Elem())
	case t.Kind() == reflect.Slice:
		return object{"type": "array", "items": d.of(t.Elem())}
	case t.Kind() == reflect.Map:
		return object{"type": "object", "additionalProperties": d.nullable(t.Elem())}
	case t.Kind() == reflect.Struct:
		name := t.Name()
		if was, again := d.types[name]; again && was != t {
			panic(fmt.Sprint("two types of one name: ", was, t))
		} else if !again {
			d.types[name] = t
			schema := object{"type": "object"}
			d.schemas[name] = schema
			if doc := d.docs[docKey(t)]; doc != "" {
				schema["description"] = doc
			}
			properties, required := object{}, []string{}
			d.fields(t, properties, &required)
			schema["properties"] = properties
			if len(required) > 0 {
				schema["required"] = required
			}
		}
		return ref(name)
	case t.Kind() == reflect.String:
		return object{"type": "string"}
	case t.Kind() == reflect.Bool:
		return object{"type": "boolean"}
	case t.Kind() == reflect.Float64:
		return object{"type": "number"}
	}
	return object{"type": "integer"}
}

// nullable is of a value that null may stand for, which is unknown.
func (d *describer) nullable(t reflect.Type) object {
	if t.Kind() == reflect.Pointer {
		return object{"anyOf": []any{d.of(t), object{"type": "null"}}}
	}
	return d.of(t)
}

func (d *describer) fields(t reflect.Type, properties object, required *[]string) {
	for i := range t.NumField() {
		f := t.Field(i)
		if !f.IsExported() { // it is not in the JSON
			continue
		}
		if f.Anonymous {
			d.fields(f.Type, properties, required)
			continue
		}
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		optional := strings.Contains(options, "omit")
		schema := d.of(f.Type)
		if !optional {
			schema = d.nullable(f.Type)
			*required = append(*required, name)
		}
		if doc := d.docs[docKey(t)+"."+f.Name]; doc != "" {
			with := object{"description": doc}
			for key, value := range schema {
				with[key] = value
			}
			schema = with
		}
		properties[name] = schema
	}
}

// comments are those of the types of some packages and of their fields.
func comments(t *testing.T, folders ...string) map[string]string {
	t.Helper()
	docs := map[string]string{}
	text := func(groups ...*ast.CommentGroup) string {
		var all []string
		for _, g := range groups {
			if g != nil {
				all = append(all, strings.Join(strings.Fields(g.Text()), " "))
			}
		}
		return strings.Join(all, " ")
	}
	for _, folder := range folders {
		files, err := filepath.Glob(filepath.Join(folder, "*.go"))
		if err != nil || len(files) == 0 {
			t.Fatal(folder, err)
		}
		for _, name := range files {
			file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(file, func(n ast.Node) bool {
				decl, is := n.(*ast.GenDecl)
				if !is || decl.Tok != token.TYPE {
					return true
				}
				for _, spec := range decl.Specs {
					one := spec.(*ast.TypeSpec)
					docs[file.Name.Name+"."+one.Name.Name] = text(decl.Doc, one.Doc)
					if body, is := one.Type.(*ast.StructType); is {
						for _, f := range body.Fields.List {
							for _, name := range f.Names {
								docs[file.Name.Name+"."+one.Name.Name+"."+name.Name] = text(f.Doc, f.Comment)
							}
						}
					}
				}
				return true
			})
		}
	}
	return docs
}

var inPath = regexp.MustCompile(`\{(\w+)\}`)

// openAPI is the description of the API, from its routes and types.
func openAPI(t *testing.T) []byte {
	t.Helper()
	d := &describer{
		schemas: object{}, types: map[string]reflect.Type{},
		docs: comments(t, ".", "../../bus", "../../bus/client", "../../decider/explain", "../model"),
	}
	paths := object{}
	for _, r := range New(Config{Now: time.Now}).routes() {
		if strings.HasSuffix(r.path, "/explain") {
			r.answer = explain.Explanation{}
		}
		paths[apiPath+r.path] = merged(paths[apiPath+r.path], strings.ToLower(r.method), operation(d, r))
	}
	d.of(reflect.TypeFor[RequestProblem]())
	data, err := json.MarshalIndent(object{
		"openapi": "3.1.0",
		"info": object{
			"title": "vmscaler", "version": "1",
			"description": "What vmscaler's bus serves, over HTTP. Unknown is null or absent, never 0. See docs/api.md.",
		},
		"paths": paths,
		"components": object{
			"schemas": d.schemas,
			"securitySchemes": object{
				"token": object{"type": "http", "scheme": "bearer", "description": "as `vmscaler web token` makes one"},
			},
		},
	}, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return append(data, '\n')
}

func merged(before any, key string, value any) object {
	all, _ := before.(object)
	if all == nil {
		all = object{}
	}
	all[key] = value
	return all
}

func operation(d *describer, r route) object {
	content := func(kind string, schema object) object { return object{kind: object{"schema": schema}} }
	op := object{
		"summary":     r.summary,
		"operationId": strings.ToLower(r.method) + strings.NewReplacer("/", "-", "{", "", "}", "").Replace(r.path),
		"responses": object{
			"200":     object{"description": "done", "content": content("application/json", d.of(reflect.TypeOf(r.answer)))},
			"default": object{"description": "why not", "content": content("application/problem+json", ref("RequestProblem"))},
		},
	}
	var parameters []any
	for _, name := range inPath.FindAllStringSubmatch(r.path, -1) {
		parameters = append(parameters, object{"name": name[1], "in": "path", "required": true, "schema": object{"type": "string"}})
	}
	for _, p := range r.query {
		parameters = append(parameters, object{
			"name": p.name, "in": "query", "description": p.about, "schema": object{"type": "string"},
		})
	}
	if parameters != nil {
		op["parameters"] = parameters
	}
	if r.body != nil {
		op["requestBody"] = object{"required": true, "content": content("application/json", d.of(reflect.TypeOf(r.body)))}
	}
	switch r.who {
	case everybody:
	case readers:
		op["security"] = []any{object{}, object{"token": []any{}}}
	case operators:
		op["security"] = []any{object{"token": []any{}}}
	}
	return op
}

// TestOpenAPI: the description that is served is that of the routes and types.
func TestOpenAPI(t *testing.T) {
	want := openAPI(t)
	if *update {
		if err := os.WriteFile("openapi.json", want, 0o644); err != nil { //nolint:gosec // it is served to everybody
			t.Fatal(err)
		}
		return
	}
	if string(openapiFile) != string(want) {
		t.Error("openapi.json is of other routes or types; `go test ./dashboard/web -update` writes it")
	}
	s := start(t, Config{})
	code, body := s.get(apiPath + "/openapi.json")
	if code != http.StatusOK || body != string(want) {
		t.Errorf("served %d: %.100s", code, body)
	}
}

// TestAPIPage: docs/api.md has each route.
func TestAPIPage(t *testing.T) {
	data, err := os.ReadFile("../../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	var table strings.Builder
	who := map[access]string{everybody: "anybody", readers: "watch", operators: "operator"}
	for _, r := range New(Config{Now: time.Now}).routes() {
		fmt.Fprintf(&table, "| `%s` | `%s` | %s | %s |\n", r.method, r.path, who[r.who], r.summary)
	}
	const head = "| method | path | role | what it does |\n|---|---|---|---|\n"
	begin, rest, found := strings.Cut(string(data), head)
	if !found {
		t.Fatal("docs/api.md has no table")
	}
	_, end, _ := strings.Cut(rest, "\n\n")
	want := begin + head + table.String() + "\n" + end
	if *update {
		if err := os.WriteFile("../../docs/api.md", []byte(want), 0o644); err != nil { //nolint:gosec // a page of the docs
			t.Fatal(err)
		}
		return
	}
	if string(data) != want {
		t.Errorf("docs/api.md has other routes; `go test ./dashboard/web -update` writes\n%s", table.String())
	}
}
