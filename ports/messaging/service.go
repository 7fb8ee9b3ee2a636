// Package messaging is the driving side of messages: it takes what arrives on a service's topics
// and calls the handler whose message it is.
//
// What happens when a message cannot be handled is one policy for every service, made by one
// constructor (NewRouter) and readable in policy.go. No rule of any service is in here, nothing is
// published from here, and how messages travel is not known here.
package messaging

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"millrace/app/messages"
)

// Handler is one message type that a service handles.
type Handler struct {
	Name    string // such as "reserve_stock": it stands in metrics, traces and dead letters
	Message string // such as "PaymentSucceeded": a name of the messages.Catalogue
	Handle  func(ctx context.Context, m messages.Message) error
}

// On makes a handler of a use case that takes one message type:
//
//	messaging.On("reserve_stock", reserve.Handle)
func On[M messages.Message](name string, handle func(context.Context, *M) error) Handler {
	var none M
	return Handler{Name: name, Message: none.Name(), Handle: func(ctx context.Context, m messages.Message) error {
		typed, ok := any(m).(*M)
		if !ok {
			return fmt.Errorf("handler %s takes %s and was given %T", name, none.Name(), m)
		}
		return handle(ctx, typed)
	}}
}

// Service is a service as messages see it: its name and everything that it handles.
type Service struct {
	Name     string
	Handlers []Handler
}

// Group is a consumer group of a service with the topic that it reads. Its name is
// "<service>.<topic>": a group of several topics would rebalance them all when one changes.
type Group struct {
	Name, Topic string
	Kind        messages.Kind
	Handlers    []Handler

	redrive bool // it reads what is sent again
}

// RedriveGroup is the consumer group that reads what is sent again to the service. It hands each
// message to the handler that it was for, whichever group that is in.
func (s Service) RedriveGroup() Group {
	topic := messages.RedriveTopic(s.Name)
	return Group{Name: s.Name + "." + topic, Topic: topic, redrive: true}
}

// Groups gives the service's consumer groups by topic. The handlers decide the topics. It fails
// when a handler has no name, when a message is not in the catalogue or has two handlers (the
// inbox would let only the first one work), or when a topic carries several commands.
func (s Service) Groups() ([]Group, error) {
	byTopic := make(map[string]*Group)
	var topics []string
	var wrong []error
	handled := make(map[string]bool)
	for _, h := range s.Handlers {
		spec, known := messages.SpecOf(h.Message)
		switch {
		case h.Name == "" || h.Handle == nil:
			wrong = append(wrong, fmt.Errorf("%s: the handler of %q has no name or no function", s.Name, h.Message))
			continue
		case !known:
			wrong = append(wrong, fmt.Errorf("%s: %s handles %q, which is not in the catalogue", s.Name, h.Name, h.Message))
			continue
		case handled[h.Message]:
			wrong = append(wrong, fmt.Errorf("%s: %s has two handlers; make one that does both in one transaction", s.Name, h.Message))
			continue
		}
		handled[h.Message] = true
		g := byTopic[spec.Topic]
		if g == nil {
			g = &Group{Name: s.Name + "." + spec.Topic, Topic: spec.Topic, Kind: spec.Kind}
			byTopic[spec.Topic] = g
			topics = append(topics, spec.Topic)
		}
		g.Handlers = append(g.Handlers, h)
		if g.Kind == messages.Command && len(g.Handlers) > 1 {
			wrong = append(wrong, fmt.Errorf("%s: %s carries several commands, and would be read by rivals in one group; give each a topic", s.Name, spec.Topic))
		}
	}
	if s.Name == "" || len(s.Handlers) == 0 {
		wrong = append(wrong, fmt.Errorf("%q: a service needs a name and a handler", s.Name))
	}
	if err := errors.Join(wrong...); err != nil {
		return nil, err
	}
	slices.Sort(topics)
	groups := make([]Group, 0, len(topics))
	for _, topic := range topics {
		groups = append(groups, *byTopic[topic])
	}
	return groups, nil
}

// Describe renders who handles what as a table, sorted. It is kept in a golden file, because a
// consumer group that changes its name reads its topic again from the oldest message. What is wrong
// with a service stands below the table.
func Describe(services ...Service) string {
	var rows, invalid []string
	for _, s := range services {
		groups, err := s.Groups()
		if err != nil {
			invalid = append(invalid, err.Error()+"\n")
		}
		for _, g := range groups {
			for _, h := range g.Handlers {
				rows = append(rows, strings.Join([]string{s.Name, h.Name, h.Message, g.Topic, g.Name}, "\t")+"\n")
			}
		}
		if again := s.RedriveGroup(); err == nil {
			rows = append(rows, strings.Join([]string{s.Name, "(the one named)", "(any)", again.Topic, again.Name}, "\t")+"\n")
		}
	}
	slices.Sort(rows)
	var text strings.Builder
	table := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	_, _ = io.WriteString(table, "service\thandler\tmessage\ttopic\tconsumer group\n"+strings.Join(rows, ""))
	_ = table.Flush() // a strings.Builder takes everything
	return text.String() + strings.Join(invalid, "")
}
