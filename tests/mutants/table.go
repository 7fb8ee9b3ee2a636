package main

// Where the checks are.
const (
	policy   = "ports/messaging"
	worker   = "ports/worker"
	store    = "adapters/sqlstore"
	database = "adapters/sqldb"
	kafka    = "adapters/kafkabus"
	relay    = "adapters/outbox"
	books    = "adapters/audit"
	recovery = "tests/recovery"
	saga     = "sagas/order"
	postgres = "/postgres" // a part of a test that needs the server
	sqlite   = "/sqlite"
	inMemory = "/kfake"
)

func one(old, replacement string) []edit { return []edit{{old, replacement}} }

// mutants is the table. A mutant is a mistake in good faith: it compiles, an order still goes
// through, and something that the README promises is no longer true.
var mutants = []mutant{

	// Consumers.
	{
		name: "a message is acknowledged before its work is committed", file: "ports/messaging/delivery.go",
		edits:  one("		d := &delivery{group:", "		msg.Ack()\n		d := &delivery{group:"),
		checks: []check{{policy, "^TestShutdownDeadLettersNothing$"}},
	},
	{
		name: "there is no inbox", file: "adapters/sqlstore/unit.go",
		edits:  one("	if u.cause.Consumer == \"\" {\n		return nil\n	}\n	n, err := inboxRow", "	if u.cause.Consumer != \"\\x00\" {\n		return nil\n	}\n	n, err := inboxRow"),
		checks: []check{{store, "^TestInventoryKeepsThePromiseOfAUnitOfWork$" + sqlite + "/twice"}},
	},
	{
		name: "a message is marked as done before the work", file: "adapters/sqlstore/core.go",
		edits:  one("	for n := 1; ; n++ {\n", "	c.mark(ctx, cause)\n	for n := 1; ; n++ {\n"),
		checks: []check{{store, "^TestAMessageIsMarkedAfterItsCommitAndNotBefore$" + sqlite}},
	},
	{
		name: "events are published outside of the transaction", file: "adapters/sqlstore/unit.go",
		edits: []edit{
			{"	return u.core.Outbox.Append(u.ctx, u.tx.Tx, u.out)\n", "	return nil\n"},
			{"	if len(u.out) > 0 {\n		u.core.Wake()", "	if len(u.out) > 0 {\n		_ = u.core.DB.InTx(u.ctx, func(tx *sqlx.Tx) error { return u.core.Outbox.Append(u.ctx, tx, u.out) })\n		u.core.Wake()"},
		},
		checks: []check{{store, "^TestAMessageIsInTheOutboxAsSoonAsTheStateThatItTellsOf$" + sqlite}},
	},
	{
		name: "the policy's fence is removed", file: "ports/messaging/policy.go",
		edits:  one("		if msg.Context().Err() != nil {\n			d := deliveryOf(msg)", "		if false {\n			d := deliveryOf(msg)"),
		checks: []check{{policy, "^TestAMessageOfALostPartitionIsNotStarted$"}},
	},
	{
		name: "the session's fence is removed", file: "adapters/kafkabus/fence.go",
		edits:  one("	if session == nil {\n		return ctx\n", "	if session != nil {\n		return ctx\n"),
		checks: []check{{kafka, "^TestAMessageOfALostSessionIsNoLongerAlive$" + inMemory}},
	},
	{
		name: "an outage is a dead letter", file: "ports/messaging/policy.go",
		edits: []edit{
			{"		if kind != fault.Unavailable {\n			d.counted++\n		}", "		d.counted++"},
			{"return verdict(err) != fault.Unavailable },", "return !errors.Is(err, context.Canceled) },"},
		},
		checks: []check{{policy, "^TestAnOutageIsRetriedAndNeverDeadLettered$"}},
	},
	{
		name: "a stop is a dead letter", file: "ports/messaging/policy.go",
		edits:  one("	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {", "	if errors.Is(err, context.DeadlineExceeded) {"),
		checks: []check{{policy, "^TestShutdownDeadLettersNothing$"}},
	},
	{
		name: "an attempt has no time-out", file: "ports/messaging/policy.go",
		edits:  one("middleware.Timeout(c.Policy.AttemptTimeout),", "middleware.Timeout(time.Hour),"),
		checks: []check{{policy, "^TestAttemptsThatTimeOutAreAnOutage$"}},
	},
	{
		name: "a database that is away stops nobody", file: "ports/messaging/policy.go",
		edits:  one("		inside, leave, err := c.Circuit.Enter(ctx)\n", "		inside, leave, err := closed{}.Enter(ctx)\n"),
		checks: []check{{policy, "^TestWhileTheDatabaseIsAwayNoHandlerIsStartedAndNoAttemptIsUsedUp$"}},
	},
	{
		name: "a row that is refused opens the circuit", file: "adapters/sqldb/circuit.go",
		edits:  one("return !isAway(err) },", "return err == nil },"),
		checks: []check{{database, "^TestADatabaseThatAnswersIsNotAwayWhateverItSays$"}},
	},
	{
		name: "a unit that met another is not run again", file: "adapters/sqlstore/core.go",
		edits:  one("		case n == attempts || !meetsAnother(err):", "		case n == attempts || err != nil:"),
		checks: []check{{store, "^TestTwentyRequestsWithOneKeyMakeOneOrder$" + postgres}, {store, "^TestAUnitThatMetAnotherTransactionIsRunAgainAsAWhole$"}},
	},

	// Kafka.
	{
		name: "a new group begins at the newest message", file: "adapters/kafkabus/sarama.go",
		edits:  one("	s.Consumer.Offsets.Initial = sarama.OffsetOldest", "	s.Consumer.Offsets.Initial = sarama.OffsetNewest"),
		checks: []check{{kafka, "^TestAGroupReadsWhatWasWrittenBeforeItExisted$" + inMemory}},
	},
	{
		name: "acks=1", file: "adapters/kafkabus/sarama.go",
		edits: []edit{
			{"	s.Producer.RequiredAcks = sarama.WaitForAll", "	s.Producer.RequiredAcks = sarama.WaitForLocal"},
			{"	s.Producer.Idempotent = true", "	s.Producer.Idempotent = false"}, // sarama would refuse it
		},
		checks: []check{{kafka, "^TestSaramaRunsOnSafeSettings$"}},
	},

	// The relay.
	{
		name: "a partial batch is marked as a whole, as the stock outbox adapter does", file: "adapters/outbox/loop.go",
		edits:  one("		l.acked = append(l.acked, d.row.seq)\n", "		l.acked = append(l.acked, l.lanes.seqs()...)\n"),
		checks: []check{{relay, "^TestAPartialBatchAndThenTheEndLosesNothing$" + sqlite}},
	},
	{
		name: "the relay marks before the broker's answer", file: "adapters/outbox/loop.go",
		edits:  one("	l.lanes.take()\n	l.inFlight++\n", "	l.lanes.take()\n	l.acked = append(l.acked, l.sending.row.seq)\n	l.inFlight++\n"),
		checks: []check{{relay, "^TestAnOutageOfTheBrokerLosesNothingAndMarksNothing$" + sqlite}},
	},

	// Requests.
	{
		name: "the idempotency key is kept in Redis only", file: "app/order/place_order.go",
		edits:  one("			tx.KeepReply(reply)\n", ""),
		checks: []check{{store, "^TestTwentyRequestsWithOneKeyMakeOneOrder$" + sqlite}},
	},
	{
		name: "a key is answered whatever the body is", file: "app/order/place_order.go",
		edits:  one("	if known.RequestHash != hash {", "	if known.RequestHash == \"\" {"),
		checks: []check{{store, "^TestTwentyRequestsWithOneKeyMakeOneOrder$" + sqlite}},
	},

	// Money.
	{
		name: "a late success is ignored", file: "domain/payment/moves.go",
		edits:  one("		p.providerID, p.authCode, p.state = providerID, authCode, Refunding\n		return GiveBack", "		return Nothing"),
		checks: []check{{recovery, "^TestAPaymentSurvivesDeathAtEveryPoint$/a_pending_charge_that_is_undone" + sqlite}},
	},
	{
		name: "a refund has a fresh key at every attempt", file: "app/payment/settle_undo.go",
		edits:  one("h.provider.Refund(ctx, in.ID, ", "h.provider.Refund(ctx, fmt.Sprint(in.ID, in.Attempts), "),
		checks: []check{{recovery, "^TestAPaymentSurvivesDeathAtEveryPoint$/a_refund" + sqlite}},
	},
	{
		name: "a charge has a fresh key at every attempt", file: "app/payment/settle_capture.go",
		edits:  one("Charge{Key: in.ID, ", "Charge{Key: fmt.Sprint(in.ID, in.Attempts), "),
		checks: []check{{recovery, "^TestAPaymentSurvivesDeathAtEveryPoint$/a_charge$" + sqlite}},
	},
	{
		name: "payment leaves no tombstone", file: "app/payment/refund_payment.go",
		edits:  one("		tx.Keep(p)\n", "		if known[m.OrderID] != nil {\n			tx.Keep(p)\n		}\n"),
		checks: []check{{recovery, "^TestAChargeThatComesAfterItsUndoIsNeverMade$" + sqlite}},
	},
	{
		name: "an intent is settled by whoever comes", file: "adapters/sqlstore/intents.go",
		edits:  one("AND intents.version = v.column2 AND intents.state = 'open'\"", "AND intents.state <> CAST(v.column2 AS TEXT)\""),
		checks: []check{{recovery, "^TestALeaseThatRunsOutDuringACallIsSettledOnceByWhoHoldsItNow$" + sqlite}},
	},
	{
		name: "an intent is handed over twice", file: "adapters/sqlstore/intents.go",
		edits:  one("		if u.allTook(intentRow) {", "		if u.allTook(intentRow) || true {"),
		checks: []check{{store, "^TestAnActThatWasIntendedBeforeIsNotHandedOverAgain$" + sqlite}},
	},
	{
		name: "an act that failed for the moment is given up", file: "ports/worker/attempt.go",
		edits:  one("	case fault.Invalid, fault.NotFound: // it stays wrong", "	case fault.Invalid, fault.NotFound, fault.Unavailable: // it stays wrong"),
		checks: []check{{worker, "^TestWhatAFailureLeadsTo$"}},
	},

	// Stock.
	{
		name: "stock is checked, then taken, without a lock", file: "adapters/sqlstore/inventory.go",
		edits:  one("WHERE sku IN (?) ORDER BY sku\" + t.core.DB.Dialect.ForUpdate()", "WHERE sku IN (?) ORDER BY sku\""),
		checks: []check{{store, "^TestWhoeverLooksAtTheShelfHoldsIt$"}, {store, "^TestTheLastItemGoesToOneOrder$" + postgres}},
	},
	{
		name: "inventory leaves no tombstone", file: "domain/inventory/shelf.go",
		edits:  one("		s.reservation = &Reservation{OrderID: s.orderID, State: Barred}\n		return nil", "		return nil"),
		checks: []check{{recovery, "^TestStockThatIsAskedForAfterItsReleaseIsNotSetAside$" + sqlite}},
	},

	// The saga.
	{
		name: "a timer counts whatever entry it was set for", file: "sagas/order/decide.go",
		edits:  one("*m.timer != current {", "m.timer.Name != current.Name {"),
		checks: []check{{saga, "^TestTheVerdictSaysWhatBecameOfTheInput$"}},
	},
	{
		name: "a saga is saved over another decision", file: "adapters/sqlstore/sagas.go",
		edits:  one("			WHERE sagas.version = excluded.version - 1`", "			WHERE sagas.version < excluded.version + 1`"),
		checks: []check{{store, "^TestASagaIsNotSavedOverADecisionThatItDidNotSee$" + sqlite}},
	},
	{
		name: "the journal's hashes are not chained", file: "sagas/engine/engine.go",
		edits:  one("Chain(i.JournalHash, entry)", "Chain(\"\", entry)"),
		checks: []check{{books, "^TestAHistoryShowsEveryMessageAndItsDecision$" + sqlite}},
	},

	// Mail.
	{
		name: "every try of a mail has a Message-ID of its own", file: "app/notification/letter.go",
		edits:  one("		MessageID: n.OrderID + \".completed@millrace.local\",", "		MessageID: n.OrderID + \".\" + fmt.Sprintf(\"%p\", &plain) + \"@millrace.local\","),
		checks: []check{{recovery, "^TestAMailRepeatsOnlyBetweenTheServersYesAndOurCommit$" + sqlite}},
	},
	{
		name: "a mail is settled before it is sent", file: "app/notification/send_mail.go",
		edits: []edit{
			{"	if err := h.mailer.Send(ctx, letter); err != nil {", "	if err := h.work.Do(ctx, func(tx Tx) error { tx.Sent(in.OrderID); tx.Settle(in); return nil }); err != nil {"},
			{"	return h.work.Do(ctx, func(tx Tx) error {\n		tx.Sent(in.OrderID)\n		tx.Settle(in)\n		return nil\n	})", "	return h.mailer.Send(ctx, letter)"},
		},
		checks: []check{{recovery, "^TestAMailRepeatsOnlyBetweenTheServersYesAndOurCommit$" + sqlite}},
	},
}
