package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"millrace/app/messages"
)

// mood tells the mail server how to answer.
func (w *world) mood(mood string) error {
	path := filepath.Join(w.dir, "mail", moodFile)
	if err := os.WriteFile(path+".new", []byte(mood), 0o644); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// answered counts the letters that the mail server gave an answer of that kind.
func (w *world) answered(code int) int {
	letters, err := readLedger[letter](filepath.Join(w.dir, "mail", lettersFile))
	if err != nil {
		return 0
	}
	n := 0
	for _, l := range letters {
		if l.Code == code {
			n++
		}
	}
	return n
}

// mailFaults strike the mail server and the way to it.
func mailFaults() []fault {
	mail := []string{"mail", messages.NotificationService}
	moody := func(name, kind string, short []string, mood, does string, code, times int, hold time.Duration) fault {
		return fault{
			name: name, kind: kind, on: both, short: short, does: does, hurts: mail,
			begin: func(_ context.Context, w *world) (blow, error) {
				before := w.answered(code)
				return blow{
					seen: func(context.Context) (string, bool) {
						n := w.answered(code) - before
						return fmt.Sprintf("%d letters were answered %d", n, code), n >= times
					},
					hold: hold, heal: func(context.Context) error { return w.mood("250") },
				}, w.mood(mood)
			},
		}
	}
	return []fault{
		{
			name: "mail/down", kind: "SMTP down", on: both, short: both, hurts: mail,
			does: "the link to the mail server is cut for 3 s",
			begin: func(_ context.Context, w *world) (blow, error) {
				w.links["mail"].cut()
				return blow{
					seen: func(context.Context) (string, bool) { return "the link is cut", true }, hold: 3 * time.Second,
					heal: func(context.Context) error { return w.links["mail"].mend() },
				}, nil
			},
		},
		moody("mail/slow", "SMTP slow", onlyEmbedded, "slow 2s", "the mail server takes 2 s for a letter", 250, 4, time.Second),
		moody("mail/4xx", "SMTP answers 4xx", onlyEmbedded, "451", "the mail server wants everything again later", 451, 5, time.Second),
		moody("mail/5xx", "SMTP answers 5xx", both, "550 3", "the mail server refuses three letters for good; a person has them sent again at the end", 550, 3, 0),
	}
}

// sendRefusedAgain does what an operator does with letters that were refused for good, once the
// mail server has been mended.
func (w *world) sendRefusedAgain(ctx context.Context) error {
	return w.dealWith(ctx, "handler=intent_mail")
}
