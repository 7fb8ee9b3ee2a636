package main

import (
	"millrace/app/analytics"
	"millrace/app/inventory"
	"millrace/app/messages"
	"millrace/app/notification"
	"millrace/app/payment"
	"millrace/ports/messaging"
	"millrace/sagas/engine"
)

// analyticsHandlers is everything that the order service reacts to: its subscriber for analytics, which fills
// the read models.
func analyticsHandlers(record *analytics.RecordEnd) messaging.Service {
	return messaging.Service{Name: messages.OrderService, Handlers: []messaging.Handler{
		messaging.On("record_end", record.Handle),
	}}
}

// paymentHandlers is everything that the payment service reacts to.
func paymentHandlers(capture *payment.CapturePayment, refund *payment.RefundPayment) messaging.Service {
	return messaging.Service{Name: messages.PaymentService, Handlers: []messaging.Handler{
		messaging.On("capture_payment", capture.Handle),
		messaging.On("refund_payment", refund.Handle),
	}}
}

// inventoryHandlers is everything that the inventory service reacts to.
func inventoryHandlers(reserve *inventory.ReserveStock, release *inventory.ReleaseInventory) messaging.Service {
	return messaging.Service{Name: messages.InventoryService, Handlers: []messaging.Handler{
		messaging.On("reserve_stock", reserve.Handle),
		messaging.On("release_inventory", release.Handle),
	}}
}

// notificationHandlers is everything that the notification service reacts to.
func notificationHandlers(notify *notification.NotifyCustomer) messaging.Service {
	return messaging.Service{Name: messages.NotificationService, Handlers: []messaging.Handler{
		messaging.On("notify_customer", notify.Handle),
	}}
}

// orchestratorHandlers takes every event to its saga, but the one that the saga itself sends last.
func orchestratorHandlers(e *engine.Engine) messaging.Service {
	service := messaging.Service{Name: messages.Orchestrator}
	for name, message := range sagaHandlers {
		service.Handlers = append(service.Handlers, messaging.Handler{Name: name, Message: message, Handle: e.Handle})
	}
	return service
}

var sagaHandlers = map[string]string{
	"saga_order_created":          "OrderCreated",
	"saga_order_cancel_requested": "OrderCancelRequested",
	"saga_payment_succeeded":      "PaymentSucceeded",
	"saga_payment_failed":         "PaymentFailed",
	"saga_payment_refunded":       "PaymentRefunded",
	"saga_inventory_reserved":     "InventoryReserved",
	"saga_inventory_failed":       "InventoryFailed",
	"saga_inventory_released":     "InventoryReleased",
}
