package cli

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"millrace/domain/plan"
)

func TestARunThatBreaksOffSaysWhatItHasDone(t *testing.T) {
	t.Parallel()
	var out, words bytes.Buffer
	p := &program{Deps: Deps{Stdout: &out, Stderr: &words}, json: true}
	sum := plan.Sum{}
	sum.Add(plan.Result{ID: "a1", Outcome: plan.Verified, OrderID: "ord_1"})
	err := p.applied(sum, "5ea1", errors.New("the database is away"))
	if err == nil || !strings.HasSuffix(err.Error(), "the database is away: apply the plan again to go on") {
		t.Errorf("it ended with %v", err)
	}
	if !strings.HasPrefix(out.String(), `{"ok":false,"verified":1,`) || !strings.HasPrefix(words.String(), "1 verified, 0 failed again") {
		t.Errorf("it wrote %s and said %s", &out, &words)
	}
}
