package payment

// Next is what a move asks for: what is to be told, and what is to be done in the outside world.
type Next struct{ name string }

// What a move can ask for.
var (
	Nothing      = Next{"nothing"}       // the fact was known already
	TellPaid     = Next{"tell_paid"}     // the money is with us
	TellDeclined = Next{"tell_declined"} // the provider said no
	TellUndone   = Next{"tell_undone"}   // no money is with us or ever will be: Outcome says why
	TryVoid      = Next{"try_void"}      // bar the charge if it has not happened
	GiveBack     = Next{"give_back"}     // refund the capture
)

// CaptureSucceeded takes the news that the money was captured. When an undo is waiting the money
// goes straight back, and nobody is told that it was ever here.
func (p *Payment) CaptureSucceeded(providerID, authCode string) Next {
	switch p.state {
	case Capturing:
		p.providerID, p.authCode, p.state = providerID, authCode, Captured
		return TellPaid
	case Undoing:
		p.providerID, p.authCode, p.state = providerID, authCode, Refunding
		return GiveBack
	default:
		return Nothing
	}
}

// CaptureRefused takes the news that the provider will never capture.
func (p *Payment) CaptureRefused(reason string) Next {
	switch p.state {
	case Capturing:
		p.reason, p.state = reason, Declined
		return TellDeclined
	case Undoing:
		p.reason, p.state = reason, Declined
		return TellUndone
	default:
		return Nothing
	}
}

// CaptureBarred takes the news that the provider has barred the capture.
func (p *Payment) CaptureBarred() Next {
	if !p.Unsettled() {
		return Nothing
	}
	p.state = Voided
	return TellUndone
}

// Undo takes the order to give the money back. It may come at any time and more than once; what
// is undone already is told again.
func (p *Payment) Undo() Next {
	switch p.state {
	case Capturing:
		p.state = Undoing
		return TryVoid
	case Captured:
		p.state = Refunding
		return GiveBack
	case Undoing, Refunding:
		return Nothing
	default:
		return TellUndone
	}
}

// RefundSucceeded takes the news that the money went back.
func (p *Payment) RefundSucceeded() Next {
	if p.state != Refunding {
		return Nothing
	}
	p.state = Refunded
	return TellUndone
}

// Outcome says what became of the money, in the words of the published language.
func (p *Payment) Outcome() string {
	switch p.state {
	case Refunded:
		return "refunded"
	case Voided:
		return "voided"
	default:
		return "nothing_captured"
	}
}
