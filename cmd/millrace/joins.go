package main

import (
	"context"
	"fmt"
	"sync"

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

func (j *joins) watch(group string, s *kafkabus.Subscriber) {
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
