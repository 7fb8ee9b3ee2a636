package deadletters_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"millrace/app/deadletters"
	"millrace/domain/plan"
)

// One is open at a time, because one failure would stop it; and each is taken away by somebody else.
func TestALetterThatSomebodyElseSettlesGivesItsPlaceToTheNext(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *shop) {
		for _, id := range []string{"a", "b", "c"} {
			s.add(id+"1", id, "waiting")
		}
		p := s.plan(t, deadletters.ActRedrive, "")
		r := request(p)
		r.Pace = plan.Pace{StopAt: 0.01}
		most := 0
		desk := deadletters.NewDesk(s, time.Now, func(_ context.Context, d time.Duration) error {
			open := 0
			for _, l := range s.letters {
				if l.State == "redriving" {
					open++
					s.move(l, "discarded")
				}
			}
			most = max(most, open)
			time.Sleep(d) // the test's own time
			return nil
		})
		sum, err := desk.Apply(t.Context(), p, r, func(plan.Result) {})
		if err != nil || sum.Skipped != 3 || most != 1 {
			t.Fatalf("%d were open at once: %+v, %v", most, sum, err)
		}
		for _, i := range sum.Items {
			if !strings.HasPrefix(i.Detail, "somebody else has discarded it") {
				t.Errorf("%s was skipped because %s", i.ID, i.Detail)
			}
		}
	})
}
