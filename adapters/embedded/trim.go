package embedded

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
)

// abandoned is how long a group without members holds records back after its last commit.
const abandoned = 7 * 24 * time.Hour

// Trim removes the oldest records of every partition that has more than Retain, up to the first
// one that some consumer group has not committed. The broker keeps its records on disk and 72
// bytes a batch in memory; this is what bounds both, and the time of the next start. It runs by
// itself; a caller may run it too.
func (k *Kafka) Trim(ctx context.Context) error {
	topics, err := k.admin.ListTopics(ctx)
	if err != nil {
		return fmt.Errorf("trim kafka: list topics: %w", err)
	}
	listed, err := k.admin.ListGroups(ctx)
	if err != nil {
		return fmt.Errorf("trim kafka: list groups: %w", err)
	}
	var groups []*kfake.GroupInfo
	for _, name := range listed.Groups() {
		if g := k.cluster.GroupInfo(name); g != nil && holds(g, time.Now()) {
			groups = append(groups, g)
		}
	}
	for _, topic := range topics.Names() {
		for _, p := range k.cluster.PartitionInfos(topic) {
			to := min(p.HighWatermark-k.opts.Retain, unread(groups, topic, p))
			if to <= p.LogStartOffset {
				continue
			}
			if err := k.cluster.DeleteRecords(topic, p.Partition, to); err != nil {
				return fmt.Errorf("trim %s-%d: %w", topic, p.Partition, err)
			}
		}
	}
	return nil
}

func (k *Kafka) trimAgainAndAgain(ctx context.Context) {
	ticker := time.NewTicker(k.opts.TrimEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if err := k.Trim(ctx); err != nil && ctx.Err() == nil {
			k.opts.Log.WarnContext(ctx, "old records stay for now", "error", err)
		}
	}
}

// holds says whether a group still counts: it has members, or committed not long ago.
func holds(g *kfake.GroupInfo, now time.Time) bool {
	if len(g.Members) > 0 {
		return true
	}
	for _, partitions := range g.Commits {
		for _, commit := range partitions {
			if now.Sub(commit.At) < abandoned {
				return true
			}
		}
	}
	return false
}

// unread is the first offset of a partition that some group has not committed. A group that reads
// the topic and has committed nothing of this partition still needs all of it.
func unread(groups []*kfake.GroupInfo, topic string, p *kfake.PartitionInfo) int64 {
	first := p.HighWatermark
	for _, g := range groups {
		if !reads(g, topic) {
			continue
		}
		commit, ok := g.Commits[topic][p.Partition]
		if !ok {
			return p.LogStartOffset
		}
		first = min(first, commit.Offset)
	}
	return first
}

func reads(g *kfake.GroupInfo, topic string) bool {
	if len(g.Commits[topic]) > 0 {
		return true
	}
	for _, m := range g.Members {
		if len(m.Assignment[topic]) > 0 || slices.Contains(m.SubscribedTopics, topic) {
			return true
		}
	}
	return false
}
