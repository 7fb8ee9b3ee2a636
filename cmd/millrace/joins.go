package main

import (
	"context"
	"fmt"
	"sync"

	"github.com/ThreeDotsLabs/watermill/message"

	"millrace/adapters/config"
	"millrace/adapters/kafkabus"
	"millrace/ports/httpapi"
	"millrace/ports/messaging"
)

// joins knows which of a service's consumer groups have let this process in. Before that, a
// message that is written waits until they do.
type joins struct {
	mu     sync.Mutex
	groups map[string]<-chan struct{} // nil until the group's subscriber is made
}

func joinsOf(service messaging.Service) *joins {
	j := &joins{groups: map[string]<-chan struct{}{}}
	groups, _ := service.Groups() // what is wrong with them, the router says
	for _, g := range append(groups, service.RedriveGroup()) {
		j.groups[g.Name] = nil
	}
	return j
}

// member is a member of a consumer group.
type member interface {
	message.Subscriber
	Joined() <-chan struct{} // closed when the group has let it in
}

// subscriberOf gives the kind of member that KAFKA_SUBSCRIBER names.
func subscriberOf(kind string) func(kafkabus.Config, string) (member, error) {
	if kind == config.SubscriberPlain {
		return func(c kafkabus.Config, group string) (member, error) { return kafkabus.NewSubscriber(c, group) }
	}
	return func(c kafkabus.Config, group string) (member, error) { return kafkabus.NewWindowed(c, group) }
}

func (j *joins) watch(group string, s member) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.groups[group] = s.Joined()
}

// check is ready when every group has let us in.
func (j *joins) check() httpapi.Check {
	return httpapi.Check{Name: "consumers", Ready: func(context.Context) error {
		j.mu.Lock()
		defer j.mu.Unlock()
		for name, joined := range j.groups {
			select {
			case <-joined:
			default:
				return fmt.Errorf("still joining %s", name)
			}
		}
		return nil
	}}
}
