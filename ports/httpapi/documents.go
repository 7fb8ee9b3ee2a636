package httpapi

import (
	_ "embed"
	"fmt"
	"html/template"
	"net/http"
	"strings"
	"sync"

	"github.com/gin-gonic/gin"
	"gopkg.in/yaml.v3"

	"millrace/api"
)

//go:embed documents.html
var documentsHTML string

// documents puts the contract, and the page that renders it, on their routes.
func documents(e *gin.Engine) {
	answer(e, "/openapi.yaml", func(c *gin.Context) {
		c.Header("Cache-Control", "no-cache")
		c.Data(http.StatusOK, "application/yaml", api.OpenAPI)
	})
	page := sync.OnceValue(func() string { // few services are ever asked for it
		page, err := renderContract(api.OpenAPI)
		if err != nil { // a test proves that it can be rendered
			return `<p>The contract is at <a href="/openapi.yaml">/openapi.yaml</a>.</p>`
		}
		return page
	})
	answer(e, "/docs", func(c *gin.Context) { sendHTML(c, "Millrace: the API", page()) })
}

// document is what the page shows of the contract.
type document struct {
	Description string
	Tags        []docTag
	Schemas     []docSchema
}

type docTag struct {
	Name, Description string
	Calls             []docCall
}

type docCall struct {
	Method, Path, Summary, Description string
	Parameters                         []docRow
	Body                               string // schema and examples, as YAML
	Answers                            []docRow
}

type docRow struct{ Name, Text, Detail string }

type docSchema struct{ Name, Text string }

// renderContract makes a page body of an OpenAPI document. It reads what this project's contract
// uses and not all of OpenAPI.
func renderContract(contract []byte) (string, error) {
	var root yaml.Node
	if err := yaml.Unmarshal(contract, &root); err != nil {
		return "", fmt.Errorf("read the contract: %w", err)
	}
	d := tree{root.Content[0]}
	doc := document{Description: d.text("info", "description")}
	for _, tag := range d.at("tags").Content {
		t := docTag{Name: tree{tag}.text("name"), Description: tree{tag}.text("description")}
		d.each("paths", func(path string, item tree) {
			item.each("", func(method string, call tree) {
				if call.at("tags").Content[0].Value == t.Name {
					t.Calls = append(t.Calls, d.call(method, path, call))
				}
			})
		})
		doc.Tags = append(doc.Tags, t)
	}
	d.child("components").each("schemas", func(name string, schema tree) {
		doc.Schemas = append(doc.Schemas, docSchema{name, schema.source()})
	})
	page, err := template.New("documents").Parse(documentsHTML)
	if err != nil {
		return "", fmt.Errorf("read the page: %w", err)
	}
	var b strings.Builder
	if err := page.Execute(&b, doc); err != nil {
		return "", fmt.Errorf("render the contract: %w", err)
	}
	return b.String(), nil
}

func (t tree) call(method, path string, call tree) docCall {
	c := docCall{
		Method: strings.ToUpper(method), Path: path,
		Summary: call.text("summary"), Description: call.text("description"),
		Body: call.child("requestBody").child("content").source(),
	}
	for _, p := range call.at("parameters").Content {
		param := t.resolve(tree{p})
		c.Parameters = append(c.Parameters, docRow{param.text("name"), param.text("in"), param.text("description")})
	}
	call.each("responses", func(status string, response tree) {
		response = t.resolve(response)
		var types []string
		response.each("content", func(kind string, _ tree) { types = append(types, kind) })
		c.Answers = append(c.Answers, docRow{status, strings.Join(types, ", "), response.text("description")})
	})
	return c
}

// tree is a YAML mapping, whose order is kept.
type tree struct{ *yaml.Node }

// at gives what lies at the end of a path; an empty node where nothing does.
func (t tree) at(path ...string) *yaml.Node {
	n := t.Node
	for _, name := range path {
		n = tree{n}.get(name)
	}
	return n
}

func (t tree) get(name string) *yaml.Node {
	for i := 0; i+1 < len(t.Content); i += 2 {
		if t.Content[i].Value == name {
			return t.Content[i+1]
		}
	}
	return &yaml.Node{}
}

func (t tree) child(name string) tree { return tree{t.get(name)} }

func (t tree) text(path ...string) string { return strings.TrimSpace(t.at(path...).Value) }

// each calls f for every member of the mapping of that name, or of t itself when it is "".
func (t tree) each(name string, f func(name string, value tree)) {
	n := t.Node
	if name != "" {
		n = t.get(name)
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		f(n.Content[i].Value, tree{n.Content[i+1]})
	}
}

// resolve follows a $ref into this document.
func (t tree) resolve(ref tree) tree {
	target := ref.text("$ref")
	if target == "" {
		return ref
	}
	return tree{t.at(strings.Split(strings.TrimPrefix(target, "#/"), "/")...)}
}

// source gives a node as YAML, "" for an empty one.
func (t tree) source() string {
	if t.Kind == 0 {
		return ""
	}
	var b strings.Builder
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(t.Node); err != nil {
		return ""
	}
	return b.String()
}
