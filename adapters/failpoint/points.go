// Package failpoint names the places where a process can be made to die, panic, wait or fail, so
// that an attack (tests/chaos) meets the moments that chance seldom does. It is compiled in with
// the build tag failpoints alone: without it every function here is empty, is inlined, and costs
// nothing. No decision about orders may be in here, and no test of a package may need it.
//
// A place calls Hit with its name and with who works there, a service or a database's schema. What
// happens at a place is written into a file while the process runs; see the files with the tag.
package failpoint

// The places, in the order in which an order meets them.
const (
	GatewayBefore      = "gateway/before-forwarding" // a request is about to go to its service
	GatewayAfter       = "gateway/after-forwarding"  // the service has answered, the caller knows nothing
	BeforeTransaction  = "store/before-transaction"  // a unit of work is about to begin
	AfterInbox         = "store/after-inbox-row"     // the message is claimed, nothing is decided
	MidFlush           = "store/mid-flush"           // inbox rows are written; state, and the messages that tell of it, are not
	BeforeCommit       = "store/before-commit"       // everything is written, nothing is committed
	AfterCommit        = "store/after-commit"        // committed, and nobody has been told
	AfterIntent        = "intent/after-commit"       // an act is promised, and not begun
	BeforeAcknowledge  = "bus/before-acknowledging"  // handled, and Kafka has not been told
	RelayBeforePublish = "relay/before-publish"      // a row was read, and not sent
	RelayAfterAnswer   = "relay/after-answer"        // Kafka has it, the row is not marked
	RelayMidBatch      = "relay/mid-batch"           // some rows of a batch are marked, others under way
	ProviderAnswered   = "provider/after-answer"     // the provider has answered, the answer is not stored
	MailTaken          = "mail/after-250"            // the server took the letter, that is not stored
)

// All lists every place.
var All = []string{
	GatewayBefore, GatewayAfter, BeforeTransaction, AfterInbox, MidFlush, BeforeCommit, AfterCommit, AfterIntent,
	BeforeAcknowledge, RelayBeforePublish, RelayAfterAnswer, RelayMidBatch, ProviderAnswered, MailTaken,
}
