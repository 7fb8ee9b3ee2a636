package main

import (
	"millrace/adapters/sqlstore"
	"millrace/ports/messaging"
)

// receivers says who handles which message, by its type: the same lists by which services consume.
func receivers() (map[string][]sqlstore.Receiver, error) {
	all := map[string][]sqlstore.Receiver{}
	for _, service := range []messaging.Service{
		paymentHandlers(nil, nil), inventoryHandlers(nil, nil), notificationHandlers(nil), orchestratorHandlers(nil), analyticsHandlers(nil),
	} {
		groups, err := service.Groups()
		if err != nil {
			return nil, err
		}
		for _, g := range groups {
			for _, h := range g.Handlers {
				all[h.Message] = append(all[h.Message], sqlstore.Receiver{Service: service.Name, Consumer: g.Name})
			}
		}
	}
	return all, nil
}
