package main

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"time"
)

// fate is what an order is meant to become. The n-th order of a seed always has the same one.
type fate struct {
	name   string
	weight int
	method string // of payment, which tells the provider what to do
	sku    string
	twice  bool          // posted twice at the same moment, with the same key
	cancel time.Duration // cancelled at a random moment up to this long after it was accepted; 0 for never
	ends   []end
}

// end is a status with its reason.
type end struct{ status, reason string }

var (
	confirmed = end{"CONFIRMED", ""}
	declined  = end{"FAILED", "payment_declined"}
	soldOut   = end{"FAILED", "out_of_stock"}
	cancelled = end{"CANCELLED", "cancelled_by_user"}
)

// outages are the ends that an order may have instead while something is away. Nothing else is
// forgiven.
var outages = []end{{"FAILED", "payment_timeout"}, {"FAILED", "inventory_timeout"}}

const (
	lastItem   = "last_item"   // all want the last one
	cancelRace = "cancel_race" // cancelled while the card is being charged
	probe      = "probe"       // asks whether the system is back
)

var fates = []fate{
	{"ok", 48, "pm_card_ok", "", false, 0, []end{confirmed}},
	{"declined", 9, "pm_card_declined", "", false, 0, []end{declined}},
	{"provider_timeout", 5, "pm_card_timeout", "", false, 0, []end{confirmed}},
	{"provider_unavailable", 5, "pm_card_unavailable", "", false, 0, []end{confirmed}},
	{"provider_slow", 3, "pm_card_slow", "", false, 0, []end{confirmed}},
	{"out_of_stock", 10, "pm_card_ok", "SKU-NONE", false, 0, []end{soldOut}},
	{"cancelled", 8, "pm_card_ok", "", false, 1500 * time.Millisecond, []end{confirmed, cancelled}},
	{"cancelled_early", 4, "pm_card_slow", "", false, 1500 * time.Millisecond, []end{confirmed, cancelled}},
	{"posted_twice", 8, "pm_card_ok", "", true, 0, []end{confirmed}},
	{lastItem, 0, "pm_card_ok", "SKU-LOW", false, 0, []end{confirmed, soldOut}},
	{cancelRace, 0, "pm_card_ok", "", false, 60 * time.Millisecond, []end{confirmed, cancelled}},
	{probe, 0, "pm_card_ok", "", false, 0, []end{confirmed}},
}

func fateNamed(name string) fate {
	return fates[slices.IndexFunc(fates, func(f fate) bool { return f.name == name })]
}

// allows says whether an order with this fate may end so. What was meant to be confirmed may time
// out while something is away; so may one that was meant to fail, which fails with it.
func (f fate) allows(e end, disturbed bool) bool {
	return slices.Contains(f.ends, e) || disturbed && slices.Contains(outages, e)
}

// wish is one order as it is posted.
type wish struct {
	n      int
	fate   fate
	user   string
	items  []item
	cancel time.Duration
}

type item struct {
	SKU string `json:"sku"`
	Qty int    `json:"qty"`
}

// wishOf draws the n-th order of a seed. With a name it has that fate.
func wishOf(seed uint64, n int, named string) wish {
	chance := rand.New(rand.NewPCG(seed, uint64(n)))
	w := wish{n: n, user: "usr_" + strconv.FormatUint(seed%1_000_000, 10) + "_" + strconv.Itoa(n)}
	if named == "" {
		named = drawn(chance)
	}
	w.fate = fateNamed(named)
	if w.fate.sku != "" {
		w.items = []item{{w.fate.sku, 1}}
	} else {
		first := chance.IntN(100)
		w.items = []item{{spice(first), 1 + chance.IntN(3)}}
		if chance.IntN(3) == 0 { // two rows of stock to lock
			w.items = append(w.items, item{spice((first + 1 + chance.IntN(99)) % 100), 1})
		}
	}
	if w.fate.cancel > 0 {
		w.cancel = time.Duration(chance.Int64N(int64(w.fate.cancel))) + 1
	}
	return w
}

func spice(n int) string { return "SKU-" + strconv.Itoa(1001 + n)[1:] }

func drawn(chance *rand.Rand) string {
	total := 0
	for _, f := range fates {
		total += f.weight
	}
	at := chance.IntN(total)
	for _, f := range fates {
		if at -= f.weight; at < 0 {
			return f.name
		}
	}
	return fates[0].name
}

func (w wish) key() string { return w.user + "-key" }
