package money

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Sums says sums of minor units by the code of their currency in words, such as "5 EUR and 2500 LKR".
func Sums(byCurrency map[string]int64) string {
	if len(byCurrency) == 0 {
		return "nothing"
	}
	var all []string
	for _, code := range slices.Sorted(maps.Keys(byCurrency)) {
		all = append(all, fmt.Sprintf("%d %s", byCurrency[code], code))
	}
	return strings.Join(all, " and ")
}
