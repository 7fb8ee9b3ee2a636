// Package replay decides stored histories of sagas again and says where today's code would decide
// otherwise. It answers "is this change safe for the orders in flight?" before the change is
// deployed.
//
// A history is a saga's journal: every message that reached it and what was decided then. Replay
// gives the same messages to Decide in the same order, from the saga's beginning and from the
// states that it comes to itself, and compares entry by entry. The verdict is OK, DIVERGED with
// the first entry at which the two part, or UNREPLAYABLE when the history is damaged or this
// build cannot read all of it; what could not be read is never OK.
//
// Nothing here can act: of the application the package sees only the published language, and of
// the standard library nothing that opens a file, a database or a connection. A test proves it
// from the list of everything that is linked.
package replay
