package tests

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// stop is a place that the walk names: a file, and a function or method of it.
var stop = regexp.MustCompile("`([a-z][a-z0-9_/]*\\.go)`(?:\\s+`([A-Za-z][A-Za-z0-9_.]*)`)?")

func TestTheWalkNamesFilesAndFunctionsThatExist(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../docs/walk.md")
	if err != nil {
		t.Fatal(err)
	}
	stops := stop.FindAllStringSubmatch(string(text), -1)
	if len(stops) < 25 {
		t.Fatalf("the walk has %d stops: it has lost its way", len(stops))
	}
	for _, s := range stops {
		file, function := s[1], s[2]
		declared, err := functionsOf(filepath.Join("..", file))
		switch {
		case err != nil:
			t.Errorf("docs/walk.md names %s: %v", file, err)
		case function != "" && !declared[function]:
			t.Errorf("docs/walk.md names %s in %s, which is not there", function, file)
		}
	}
}

// functionsOf gives what a file declares, methods as Type.Name.
func functionsOf(path string) (map[string]bool, error) {
	parsed, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	found := map[string]bool{}
	for _, d := range parsed.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok {
			continue
		}
		name := f.Name.Name
		if f.Recv != nil {
			name = receiver(f.Recv.List[0].Type) + "." + name
		}
		found[name] = true
	}
	return found, nil
}

func receiver(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.StarExpr:
		return receiver(e.X)
	case *ast.IndexExpr:
		return receiver(e.X)
	case *ast.Ident:
		return e.Name
	default:
		return ""
	}
}

// link is a relative link of a Markdown page.
var link = regexp.MustCompile(`\]\(([^)#:]+)(?:#[^)]*)?\)`)

func TestLinksOfThePagesLeadSomewhere(t *testing.T) {
	t.Parallel()
	pages, err := filepath.Glob("../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	decisions, err := filepath.Glob("../docs/adr/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range append(append(pages, decisions...), "../README.md", "../CONTRIBUTING.md") {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Error(err)
			continue
		}
		for _, l := range link.FindAllStringSubmatch(string(text), -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(page), l[1])); err != nil {
				t.Errorf("%s leads to %s, which is not there", strings.TrimPrefix(page, "../"), l[1])
			}
		}
	}
}
