package plan

import (
	"fmt"
	"strconv"
	"strings"

	"millrace/domain/fault"
)

// Pace is how fast a plan is carried out, and when it is given up. The zero value is as fast as it
// goes, to the end.
type Pace struct {
	Canary    int     // so many items first; the rest only when every one of them is VERIFIED
	PerSecond float64 // items begun in a second; 0 for any number
	StopAt    float64 // share of the plan's items, above 0 to 1, that may fail before no more are begun; 0 for all. It bounds how many are open, see Throttle.May
}

// ErrPace: a rate or a share that cannot be read.
var ErrPace = fault.New(fault.Invalid, "bad_pace", "the pace cannot be read")

// ParseRate reads items a second, such as 20/s; "" is any number.
func ParseRate(text string) (float64, error) {
	if text == "" {
		return 0, nil
	}
	rate, err := strconv.ParseFloat(strings.TrimSuffix(text, "/s"), 64)
	if err != nil || !(rate > 0) {
		return 0, ErrPace.Because(fmt.Errorf("%q is no rate such as 20/s", text))
	}
	return rate, nil
}

// ParseShare reads a share such as 2%; "" is all.
func ParseShare(text string) (float64, error) {
	if text == "" {
		return 0, nil
	}
	percent, found := strings.CutSuffix(text, "%")
	share, err := strconv.ParseFloat(percent, 64)
	if err != nil || !found || !(share > 0 && share <= 100) {
		return 0, ErrPace.Because(fmt.Errorf("%q is no share such as 2%%", text))
	}
	return share / 100, nil
}
