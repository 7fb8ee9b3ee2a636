package httpapi_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"millrace/api"
)

func TestTheContractIsServedAsItIs(t *testing.T) {
	t.Parallel()
	r := wantStatus(t, ask(t, newShop().handler(), get("/openapi.yaml")), http.StatusOK)
	if text(t, r) != string(api.OpenAPI) {
		t.Error("it is another one")
	}
}

func TestTheDocsShowEveryCallAndLoadNothingFromElsewhere(t *testing.T) {
	t.Parallel()
	r := wantStatus(t, ask(t, newShop().handler(), get("/docs")), http.StatusOK)
	page := text(t, r)
	for _, call := range []string{"/api/v1/orders/{orderId}/cancel", "/api/v1/stock/{sku}", "/readyz", "Idempotency-Key", "price_mismatch", "TimelineEntry", "idempotency_in_progress"} {
		if !strings.Contains(page, call) {
			t.Errorf("it does not show %s", call)
		}
	}
	if found := regexp.MustCompile(`(?:src|href)="(?:https?:)?//[^"]*"|<script|@import`).FindString(page); found != "" {
		t.Errorf("it has %s", found)
	}
}

func TestTheTypeOfAProblemLeadsToItsPage(t *testing.T) {
	t.Parallel()
	h := newShop().handler()
	p := problem(t, ask(t, h, get("/api/v1/orders/ord_9")))
	plain := ask(t, h, get(p.Type))
	wantHeader(t, wantStatus(t, plain, http.StatusOK), "Content-Type", "text/plain; charset=utf-8")
	if !strings.Contains(text(t, plain), p.Title) {
		t.Errorf("the page is %s", text(t, plain))
	}
	html := wantStatus(t, ask(t, h, get(p.Type, "Accept", "text/html,*/*")), http.StatusOK)
	if !strings.Contains(text(t, html), "<h1>"+p.Title) {
		t.Errorf("the page is %s", text(t, html))
	}
	if p := problem(t, wantStatus(t, ask(t, h, get("/problems/unheard_of")), http.StatusNotFound)); p.Code != "problem_not_found" {
		t.Errorf("got %s", p.Code)
	}
}

// TestEveryCodeThatAServiceCanGiveHasAPage reads the code for faults: whoever invents one has to
// write its page.
func TestEveryCodeThatAServiceCanGiveHasAPage(t *testing.T) {
	t.Parallel()
	h := newShop().handler()
	codes := faultCodes(t, "ports/httpapi", "domain/order", "domain/money", "domain/inventory", "app/order", "app/inventory", "adapters/sqldb", "adapters/sqlstore", "adapters/jwtauth")
	for _, must := range []string{"price_mismatch", "order_settled", "missing_field", "internal", "unauthenticated", "invalid_token", "forbidden_user"} {
		if codes[must] == "" {
			t.Errorf("%s was not found: the search is blind", must)
		}
	}
	for code, where := range codes {
		switch code {
		case "schema_version", "order_held", "message_gone": // stops the start, a consumer, an operator's act: no request ever sees them
			continue
		}
		if r := ask(t, h, get("/problems/"+code)); r.StatusCode != http.StatusOK {
			t.Errorf("%s of %s has none", code, where)
		}
	}
	// When the connection breaks at a commit nobody knows: who is told that nothing was done orders twice.
	if page := text(t, ask(t, h, get("/problems/database_unavailable"))); strings.Contains(page, "Nothing was done") || !strings.Contains(page, "Idempotency-Key") {
		t.Errorf("a database that is away: %s", page)
	}
	list := text(t, wantStatus(t, ask(t, h, get("/problems")), http.StatusOK))
	if !strings.Contains(list, "price_mismatch") {
		t.Errorf("the list is %s", list)
	}
}

// faultCodes finds the codes that are given to fault.New, fault.Invalidf, fault.Wrap and refuse.
func faultCodes(t *testing.T, folders ...string) map[string]string {
	t.Helper()
	codes := map[string]string{}
	form := regexp.MustCompile(`^[a-z]+(_[a-z]+)*$`)
	for _, folder := range folders {
		err := filepath.WalkDir(filepath.Join("..", "..", folder), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			src, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, src, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			ast.Inspect(file, func(n ast.Node) bool {
				call, ok := n.(*ast.CallExpr)
				if !ok {
					return true
				}
				f, ok := call.Fun.(*ast.SelectorExpr)
				if !ok {
					return true
				}
				at := map[string]int{"New": 1, "Wrap": 1, "Invalidf": 0, "refuse": 0}
				i, ok := at[f.Sel.Name]
				if !ok || i >= len(call.Args) {
					return true
				}
				if lit, ok := call.Args[i].(*ast.BasicLit); ok && lit.Kind == token.STRING {
					if code, err := strconv.Unquote(lit.Value); err == nil && form.MatchString(code) {
						codes[code] = path
					}
				}
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return codes
}
