package kafkabus

import (
	"context"
	"errors"
	"fmt"

	"github.com/IBM/sarama"
)

// Group is a consumer group and the topic that it reads.
type Group struct{ Name, Topic string }

// GroupLag is the number of records that a group has not acknowledged yet.
type GroupLag struct {
	Group
	Records int64
}

// Lag asks how far each group is behind. A group that never acknowledged anything is behind by
// the whole topic. It fails with fault.Unavailable.
func (a *Admin) Lag(ctx context.Context, groups ...Group) ([]GroupLag, error) {
	var lags []GroupLag
	err := a.ask(ctx, func(c *connection) (err error) {
		lags, err = lag(c, groups)
		return err
	})
	if err != nil {
		return nil, err
	}
	return lags, nil
}

func lag(c *connection, groups []Group) ([]GroupLag, error) {
	partitions := make(map[string][]int32) // topic → partitions
	wanted := make(map[string]map[string][]int32, len(groups))
	for _, g := range groups {
		if partitions[g.Topic] == nil {
			var err error
			if partitions[g.Topic], err = c.client.Partitions(g.Topic); err != nil {
				return nil, fmt.Errorf("partitions of %s: %w", g.Topic, err)
			}
		}
		wanted[g.Name] = map[string][]int32{g.Topic: partitions[g.Topic]}
	}
	if len(groups) == 0 {
		return nil, nil
	}
	oldest, err := offsets(c, partitions, sarama.OffsetOldest)
	if err != nil {
		return nil, err
	}
	committed, err := c.admin.ListConsumerGroupOffsetsBatch(wanted)
	if err != nil {
		return nil, fmt.Errorf("offsets of groups: %w", err)
	}
	// Asked for last, so that no group seems ahead of its topic.
	newest, err := offsets(c, partitions, sarama.OffsetNewest)
	if err != nil {
		return nil, err
	}
	lags := make([]GroupLag, 0, len(groups))
	for _, g := range groups {
		behind := GroupLag{Group: g}
		for _, partition := range partitions[g.Topic] {
			from := oldest[g.Topic][partition].Offset
			if group := committed[g.Name]; group != nil {
				if block := group.Blocks[g.Topic][partition]; block != nil && block.Offset > from {
					from = block.Offset
				}
			}
			behind.Records += max(0, newest[g.Topic][partition].Offset-from)
		}
		lags = append(lags, behind)
	}
	return lags, nil
}

func offsets(c *connection, partitions map[string][]int32, at int64) (map[string]map[int32]*sarama.OffsetResult, error) {
	query := make(map[string]map[int32]int64, len(partitions))
	for topic, ids := range partitions {
		query[topic] = make(map[int32]int64, len(ids))
		for _, id := range ids {
			query[topic][id] = at
		}
	}
	found, err := c.admin.ListOffsets(query, nil)
	if err != nil {
		return nil, fmt.Errorf("offsets of topics: %w", err)
	}
	for topic, ids := range partitions {
		for _, id := range ids {
			switch result := found[topic][id]; {
			case result == nil:
				return nil, fmt.Errorf("offset of %s/%d: no answer", topic, id)
			case result.Err != nil && !errors.Is(result.Err, sarama.ErrNoError):
				return nil, fmt.Errorf("offset of %s/%d: %w", topic, id, result.Err)
			}
		}
	}
	return found, nil
}
