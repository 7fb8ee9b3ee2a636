package main

import (
	"context"
	"maps"
	"slices"

	"millrace/adapters/config"
	"millrace/adapters/kafkabus"
	"millrace/adapters/sqldb"
	"millrace/app/messages"
)

// The self-check asks the servers that this process stands on for the settings under which they lose
// what they have acknowledged. Production starts on none; development is told of them. Which settings
// of our own are unsafe is known before anything is connected: see safe.

// checkDatabases is the self-check of the databases. It needs no tables, and comes before any is
// touched: a replica would refuse that with other words.
func (s *stack) checkDatabases(ctx context.Context) error {
	var risks []config.Risk
	for _, schema := range slices.Sorted(maps.Keys(s.bases)) {
		more, err := databaseRisks(ctx, s.bases[schema].db, schema)
		if err != nil {
			return err
		}
		risks = addRisks(risks, more...)
	}
	return s.judge(risks)
}

// checkKafka is the self-check of the topics that there are.
func (s *stack) checkKafka(ctx context.Context) error {
	risks, err := kafkaRisks(ctx, s.admin)
	if err != nil {
		return err
	}
	return s.judge(risks)
}

// judge refuses, or tells of each risk once.
func (s *stack) judge(risks []config.Risk) error {
	if err := s.refuse(risks); err != nil {
		return err
	}
	told := s.told
	s.told = addRisks(s.told, risks...)
	s.warn(s.told[len(told):])
	return nil
}

// warn tells of risks that do not keep the process from starting.
func (s *stack) warn(risks []config.Risk) {
	for _, risk := range risks {
		s.process.logger.Warn("unsafe setting", "setting", risk.Name, "detail", risk.Detail, "advice", risk.Advice)
	}
}

func kafkaRisks(ctx context.Context, admin *kafkabus.Admin) ([]config.Risk, error) {
	found, err := admin.Examine(ctx, ourTopics()...)
	var risks []config.Risk
	for _, w := range found {
		risks = append(risks, config.Risk{Name: w.Setting, Detail: w.Detail, Advice: w.Advice, Tolerated: w.Unknown})
	}
	return risks, err
}

func databaseRisks(ctx context.Context, db *sqldb.DB, schema string) ([]config.Risk, error) {
	found, err := sqldb.Examine(ctx, db)
	var risks []config.Risk
	for _, w := range found {
		risk := config.Risk{Name: w.Setting, Detail: w.Detail, Advice: w.Advice}
		if db.Dialect == sqldb.SQLite { // a file of its own; in PostgreSQL the schemas share a server
			risk.Detail += " (database " + schema + ")"
		}
		risks = append(risks, risk)
	}
	return risks, err
}

// addRisks adds those that are not known yet.
func addRisks(risks []config.Risk, more ...config.Risk) []config.Risk {
	for _, r := range more {
		if !slices.Contains(risks, r) {
			risks = append(risks, r)
		}
	}
	return risks
}

// ourTopics are the topics of the services, as they are made.
func ourTopics() []kafkabus.Topic {
	var topics []kafkabus.Topic
	for _, name := range messages.Topics() {
		topics = append(topics, kafkabus.Topic{Name: name})
	}
	return topics
}
