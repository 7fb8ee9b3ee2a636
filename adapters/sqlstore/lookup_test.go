package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
)

func TestThoseWhoAskDuringAQueryAreAnsweredByTheNextTogether(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var queries [][]string
		goOn := make(chan struct{})
		l := lookup[string, int]{read: func(_ context.Context, keys []string) (map[string]int, error) {
			queries = append(queries, keys)
			<-goOn
			return map[string]int{"first": 1, "a": 2}, nil
		}}
		var all sync.WaitGroup
		ask := func(key string, want int, there bool) {
			all.Go(func() {
				if got, found, err := l.get(t.Context(), key); got != want || found != there || err != nil {
					t.Errorf("%s: %d, %t, %v", key, got, found, err)
				}
			})
			synctest.Wait()
		}
		ask("first", 1, true)
		ask("a", 2, true)
		ask("missing", 0, false)
		ask("a", 2, true)
		close(goOn)
		all.Wait()
		if fmt.Sprint(queries) != "[[first] [a missing]]" {
			t.Errorf("the queries were for %v", queries)
		}
	})
}

func TestAFailedLookupFailsForAllWhoAskedAndForNobodyAfterwards(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	fails := true
	l := lookup[string, int]{read: func(context.Context, []string) (map[string]int, error) {
		if fails {
			return nil, broken
		}
		return map[string]int{"a": 1}, nil
	}}
	if _, _, err := l.get(t.Context(), "a"); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	fails = false
	if got, found, err := l.get(t.Context(), "a"); got != 1 || !found || err != nil {
		t.Errorf("afterwards: %d, %t, %v", got, found, err)
	}
}

func TestWhoeverCannotWaitForALookupLeavesAndTheOthersAreAnswered(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		goOn := make(chan struct{})
		l := lookup[string, string]{read: func(ctx context.Context, keys []string) (map[string]string, error) {
			select {
			case <-goOn:
			case <-ctx.Done():
				return nil, ctx.Err()
			}
			rows := map[string]string{}
			for _, k := range keys {
				rows[k] = "row of " + k
			}
			return rows, nil
		}}
		ctx, leave := context.WithCancel(t.Context())
		var all sync.WaitGroup
		all.Go(func() {
			if _, _, err := l.get(ctx, "impatient"); !errors.Is(err, context.Canceled) {
				t.Errorf("who left got %v", err)
			}
		})
		synctest.Wait()
		all.Go(func() {
			if got, found, err := l.get(t.Context(), "patient"); got != "row of patient" || !found || err != nil {
				t.Errorf("who stayed got %q, %t, %v", got, found, err)
			}
		})
		synctest.Wait()
		leave()
		synctest.Wait()
		close(goOn)
		all.Wait()
	})
}
