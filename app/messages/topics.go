package messages

// Topics that carry events and commands. The key of every record is the order's id.
const (
	OrderEvents       = "order.events"
	PaymentEvents     = "payment.events"
	InventoryEvents   = "inventory.events"
	PaymentCommands   = "payment.commands"
	InventoryCommands = "inventory.commands"
)

// The services, by the names they have in consumer groups, logs and commands.
const (
	APIGateway          = "api-gateway"
	OrderService        = "order-service"
	PaymentService      = "payment-service"
	InventoryService    = "inventory-service"
	NotificationService = "notification-service"
	Orchestrator        = "orchestrator"
)

// Consumers lists the services that read messages, and so have a topic for their dead letters
// and one for those sent again.
var Consumers = []string{OrderService, PaymentService, InventoryService, NotificationService, Orchestrator}

// Kind says whether a message tells what happened or asks for something to be done.
type Kind string

// The two kinds of message.
const (
	Event   Kind = "event"
	Command Kind = "command"
)

// Spec is one row of the catalogue: a message type, its kind and the topic that carries it.
type Spec struct {
	Name  string
	Kind  Kind
	Topic string
	New   func() Message // an empty one, to decode into
}

// Catalogue is every message there is. Topics, routes, schemas and golden files follow from it.
var Catalogue = []Spec{
	{"OrderCreated", Event, OrderEvents, func() Message { return &OrderCreated{} }},
	{"OrderCancelRequested", Event, OrderEvents, func() Message { return &OrderCancelRequested{} }},
	{"OrderCompleted", Event, OrderEvents, func() Message { return &OrderCompleted{} }},
	{"PaymentSucceeded", Event, PaymentEvents, func() Message { return &PaymentSucceeded{} }},
	{"PaymentFailed", Event, PaymentEvents, func() Message { return &PaymentFailed{} }},
	{"PaymentRefunded", Event, PaymentEvents, func() Message { return &PaymentRefunded{} }},
	{"InventoryReserved", Event, InventoryEvents, func() Message { return &InventoryReserved{} }},
	{"InventoryFailed", Event, InventoryEvents, func() Message { return &InventoryFailed{} }},
	{"InventoryReleased", Event, InventoryEvents, func() Message { return &InventoryReleased{} }},
	{"RefundPayment", Command, PaymentCommands, func() Message { return &RefundPayment{} }},
	{"ReleaseInventory", Command, InventoryCommands, func() Message { return &ReleaseInventory{} }},
}

var byName = func() map[string]Spec {
	m := make(map[string]Spec, len(Catalogue))
	for _, s := range Catalogue {
		m[s.Name] = s
	}
	return m
}()

// SpecOf finds a message type by its name on the wire.
func SpecOf(name string) (Spec, bool) {
	s, ok := byName[name]
	return s, ok
}

// DeadLetters is the topic of a service's dead letters.
func DeadLetters(service string) string { return service + ".dlq" }

// RedriveTopic is the topic of dead letters sent again to one service alone.
func RedriveTopic(service string) string { return service + ".redrive" }

// Topics lists every topic of the system, in the order in which they are created.
func Topics() []string {
	all := []string{OrderEvents, PaymentEvents, InventoryEvents, PaymentCommands, InventoryCommands}
	for _, service := range Consumers {
		all = append(all, DeadLetters(service), RedriveTopic(service))
	}
	return all
}
