package engine

import (
	"fmt"

	saga "millrace/sagas/order"
)

// Books is what a participant's own books say of the step that waits for it.
type Books struct {
	Answer  string // the name of the answer that it has given; "" for none
	Working string // the state in which it is at an undo whose end is not known; "" when it is not at one
}

// Refuse says why an act is not for a saga because of the books, with saga.ErrRefused; nil when they allow it.
// It is asked when the act is planned, and again when it is done.
func (b Books) Refuse(act saga.Act) error {
	if act == saga.RetryStep && b.Working != "" {
		return saga.ErrRefused.Because(fmt.Errorf("its participant is at it: the books say %s, and the command once more would do nothing; "+
			"if that does not end, look for a dead letter of the order with `millrace dlq list`", b.Working))
	}
	return nil
}
