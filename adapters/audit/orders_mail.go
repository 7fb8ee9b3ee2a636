package audit

import "millrace/app/audit"

// mailOf: every end is told in one letter that says what is true, and no order is told of before.
func (p *pass) mailOf(o *ordered, n *notified, excused bool) {
	f := p.found.of(audit.MailPerTerminalOrder)
	if o.ended() {
		f.checked++
	}
	switch {
	case n == nil && (!o.ended() || excused):
	case n == nil:
		f.suspect(o.id, "the order is %s, and its customer was not told", o.status)
	case !o.ended():
		f.suspect(o.id, "the order is %s, and its customer was told %s", o.status, n.status)
	case n.status != o.status || n.total != o.total || n.currency != o.currency || n.reason != o.reason || n.user != o.user:
		f.suspect(o.id, "the letter says %s %q, %d %s to %s; the order is %s %q, %d %s of %s",
			n.status, n.reason, n.total, n.currency, n.user, o.status, o.reason, o.total, o.currency, o.user)
	case !n.intent.Valid:
		f.suspect(o.id, "there is a notice, and nobody intends to send it")
	case n.sent != (n.intent.String == "done"):
		f.suspect(o.id, "the letter was sent: %t; the intent to send it is %s", n.sent, n.intent.String)
	case p.settled && !n.sent && n.intent.String != "discarded":
		f.suspect(o.id, "the letter was not sent; the intent to send it is %s", n.intent.String)
	}
}
