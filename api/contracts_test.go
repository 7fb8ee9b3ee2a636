package api_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"gopkg.in/yaml.v3"

	"millrace/api"
	"millrace/app/gateway"
	"millrace/app/messages"
)

func TestTheOpenAPIDocumentIsValid(t *testing.T) {
	t.Parallel()
	doc := openAPI(t)
	if err := doc.Validate(t.Context(), openapi3.EnableExamplesValidation(), openapi3.EnableSchemaFormatValidation()); err != nil {
		t.Error(err)
	}
}

func TestEveryCallBelowTheAPIHasARouteThroughTheGateway(t *testing.T) {
	t.Parallel()
	for path := range openAPI(t).Paths.Map() {
		if !strings.HasPrefix(path, "/api/") {
			continue
		}
		if !slices.ContainsFunc(gateway.Routes(), func(r gateway.Route) bool {
			return path == r.Prefix || strings.HasPrefix(path, r.Prefix+"/")
		}) {
			t.Errorf("%s cannot be reached", path)
		}
	}
}

func TestEveryCallOfTheContractSaysWhatGoesWrong(t *testing.T) {
	t.Parallel()
	for path, item := range openAPI(t).Paths.Map() {
		if !strings.HasPrefix(path, "/api/") {
			continue
		}
		for method, call := range item.Operations() {
			for _, status := range []string{"500", "502", "503", "504"} {
				if call.Responses.Value(status) == nil {
					t.Errorf("%s %s has no %s", method, path, status)
				}
			}
		}
	}
}

// asyncAPI is the part of the document that the catalogue determines.
type asyncAPI struct {
	AsyncAPI string `yaml:"asyncapi"`
	Channels map[string]struct {
		Address    string
		Parameters map[string]any
		Messages   map[string]ref
	}
	Operations map[string]struct {
		Action   string
		Channel  ref
		Messages []ref
	}
	Components struct {
		Parameters map[string]struct{ Enum []string }
		Messages   map[string]yaml.Node
	}
}

type ref struct {
	To string `yaml:"$ref"`
}

func TestTheAsyncAPIDocumentHasTheTopicsAndMessagesOfTheCatalogue(t *testing.T) {
	t.Parallel()
	doc := asyncapi(t)
	if doc.AsyncAPI != "3.0.0" {
		t.Errorf("it is of version %s", doc.AsyncAPI)
	}
	var topics []string
	for _, channel := range doc.Channels {
		if len(channel.Parameters) == 0 {
			topics = append(topics, channel.Address)
			continue
		}
		for _, service := range doc.Components.Parameters["consumer"].Enum {
			topics = append(topics, strings.ReplaceAll(channel.Address, "{service}", service))
		}
	}
	want := messages.Topics()
	slices.Sort(topics)
	slices.Sort(want)
	if !slices.Equal(topics, want) {
		t.Errorf("it has the topics\n%v\nand the catalogue\n%v", topics, want)
	}
	for _, spec := range messages.Catalogue {
		if got := doc.Channels[spec.Topic].Messages[spec.Name].To; got != "#/components/messages/"+spec.Name {
			t.Errorf("%s of %s leads to %q", spec.Name, spec.Topic, got)
		}
		if _, ok := doc.Components.Messages[spec.Name]; !ok {
			t.Errorf("%s is not described", spec.Name)
		}
	}
}

func TestEveryMessageIsSentAndReceivedBySomebody(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, operation := range asyncapi(t).Operations {
		for _, m := range operation.Messages {
			seen[operation.Action+" "+strings.TrimPrefix(m.To, operation.Channel.To+"/messages/")] = true
		}
	}
	for _, spec := range messages.Catalogue {
		for _, action := range []string{"send", "receive"} {
			if !seen[action+" "+spec.Name] {
				t.Errorf("there is no operation to %s %s", action, spec.Name)
			}
		}
	}
}

func TestEveryReferenceOfTheAsyncAPIDocumentLeadsSomewhere(t *testing.T) {
	t.Parallel()
	var root yaml.Node
	if err := yaml.Unmarshal(api.AsyncAPI, &root); err != nil {
		t.Fatal(err)
	}
	found := 0
	var walk func(n *yaml.Node)
	walk = func(n *yaml.Node) {
		for i, child := range n.Content {
			if n.Kind == yaml.MappingNode && child.Value == "$ref" && i%2 == 0 {
				found++
				if target := n.Content[i+1].Value; !leads(root.Content[0], target) {
					t.Errorf("line %d: %s does not", child.Line, target)
				}
			}
			walk(child)
		}
	}
	walk(&root)
	if found == 0 {
		t.Error("no reference was found")
	}
}

// leads follows a reference within the document, or to a file beside it.
func leads(root *yaml.Node, target string) bool {
	inside, ok := strings.CutPrefix(target, "#/")
	if !ok {
		_, err := os.Stat(target)
		return err == nil
	}
	n := root
	for name := range strings.SplitSeq(inside, "/") {
		at := -1
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == name {
				at = i + 1
			}
		}
		if at < 0 {
			return false
		}
		n = n.Content[at]
	}
	return true
}

func openAPI(t *testing.T) *openapi3.T {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData(api.OpenAPI)
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func asyncapi(t *testing.T) asyncAPI {
	t.Helper()
	var doc asyncAPI
	if err := yaml.Unmarshal(api.AsyncAPI, &doc); err != nil {
		t.Fatal(err)
	}
	return doc
}
