package config

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"millrace/domain/fault"
)

// prefixes are ours: a variable that has one and is not in the table is a slip of the hand.
var prefixes = []string{
	"MILLRACE_", "KAFKA_", "POSTGRES_", "REDIS_", "SMTP_", "PSP_", "OUTBOX_", "INBOX_",
	"PAYMENT_", "INVENTORY_", "IDEMPOTENCY_", "JOURNAL_", "MAX_OPEN_",
}

// foreign are variables that have a prefix of ours by right, because somebody else made them up:
// the images of docker-compose.yml and its ports, Kafka's own scripts, systemd, and the addresses that
// Kubernetes sets for each Service.
var foreign = regexp.MustCompile(`^(` + strings.Join([]string{
	`MILLRACE_(POSTGRES|KAFKA|REDIS)_PORT`,
	`POSTGRES_(INITDB_ARGS|INITDB_WALDIR|HOST_AUTH_METHOD)`,
	`KAFKA_(HOME|OPTS|HEAP_OPTS|JMX_OPTS|JVM_PERFORMANCE_OPTS|GC_LOG_OPTS|LOG4J_OPTS|DEBUG)`,
	`JOURNAL_STREAM`,
	`.*_SERVICE_HOST`,
	`.*_SERVICE_PORT(_.*)?`,
	`.*_PORT_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?`,
}, "|") + `)$`)

// unknown refuses variables with a prefix of ours that are not in the table.
func unknown(table []variable, values, sources map[string]string) []error {
	known := make(map[string]bool, len(table))
	for _, v := range table {
		known[v.name] = true
	}
	var wrong []error
	for _, name := range sortedNames(values) {
		ours := slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(name, p) })
		ours = ours || sources[name] == FromFile // the file is nobody else's
		if !ours || known[name] || foreign.MatchString(name) || isServiceLink(values[name]) {
			continue
		}
		where := "in the environment"
		if sources[name] == FromFile {
			where = "in .env"
		}
		wrong = append(wrong, fault.Invalidf("unknown_setting", "/"+name, "%s %s is no setting of Millrace%s", name, where, suggestion(table, name)))
	}
	return wrong
}

// isServiceLink knows the MILLRACE_ORDER_SERVICE_PORT=tcp://10.0.0.1:8081 of Kubernetes.
func isServiceLink(value string) bool {
	return strings.HasPrefix(value, "tcp://") || strings.HasPrefix(value, "udp://")
}

// suggestion names the setting that was probably meant.
func suggestion(table []variable, name string) string {
	best, least := "", len(name)/2+1
	for _, v := range table {
		if d := distance(name, v.name); d < least {
			best, least = v.name, d
		}
	}
	if best == "" {
		return ": remove it (`millrace config` lists those that are)"
	}
	return fmt.Sprintf(": did you mean %s?", best)
}

// distance is Levenshtein's: how many letters to change, add or remove.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
