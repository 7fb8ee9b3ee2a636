package embedded

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	kafkaMaxMessage = 4 << 20
	kafkaSegment    = 512 << 10
	tenYears        = 10 * 365 * 24 * time.Hour
)

// Partitions is how many a topic gets where nobody says otherwise. This broker puts a partition's records on the
// disk by themselves, one partition after the other: with 12 it carries a sixth less than with three.
const Partitions = 3

// KafkaOptions bound what the broker keeps. A zero value means the default.
type KafkaOptions struct {
	// Retain is how many records of a partition are kept at least; 1,000. Records that a consumer
	// group has not committed are kept whatever their number.
	Retain int64
	// Unsynced answers before the disk has a record for sure. Such records survive the end of the
	// process, however sudden, and not that of the machine; the broker is 15 to 30 times faster.
	Unsynced bool
	// TrimEvery is how often older ones are removed; 15 s.
	TrimEvery time.Duration
	Log       *slog.Logger
}

// Kafka is a broker in this process: one node, no automatic topics, records up to 4 MiB, and
// every acknowledged record and committed offset on disk before the answer, unless Unsynced.
type Kafka struct {
	addr    string
	cluster *kfake.Cluster
	client  *kgo.Client
	admin   *kadm.Client
	opts    KafkaOptions
	stop    context.CancelFunc
	done    sync.WaitGroup
}

// StartKafka serves the records in dir, which is made when it is not there, on a loopback
// address. It fails with a PortError, or when dir cannot be read or written.
func StartKafka(addr, dir string, opts KafkaOptions) (*Kafka, error) {
	opts.Retain = cmp.Or(opts.Retain, 1000)
	opts.TrimEvery = cmp.Or(opts.TrimEvery, 15*time.Second)
	opts.Log = cmp.Or(opts.Log, slog.New(slog.DiscardHandler))
	if err := forgetMembers(dir); err != nil {
		return nil, fmt.Errorf("kafka: %w", err)
	}
	l, err := listen("kafka", addr)
	if err != nil {
		return nil, err
	}
	settings := []kfake.Opt{
		kfake.NumBrokers(1),
		kfake.ListenFn(func(string, string) (net.Listener, error) { return l, nil }),
		kfake.ClusterID("millrace"),
		kfake.DataDir(dir),
		kfake.BrokerConfigs(brokerConfigs()),
		kfake.WithLogger(kafkaLog{opts.Log}),
	}
	if !opts.Unsynced {
		settings = append(settings, kfake.SyncWrites())
	}
	cluster, err := kfake.NewCluster(settings...)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("kafka: %w", err), closed(l))
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(l.Addr().String()))
	if err != nil {
		cluster.Close()
		return nil, fmt.Errorf("kafka: %w", err)
	}
	ctx, stop := context.WithCancel(context.Background())
	k := &Kafka{addr: l.Addr().String(), cluster: cluster, client: client, admin: kadm.NewClient(client), opts: opts, stop: stop}
	k.done.Go(func() { k.trimAgainAndAgain(ctx) })
	return k, nil
}

// brokerConfigs turns the broker's own retention off: it removes records that nobody has read
// yet, and when it empties a partition the next start counts offsets from zero again. Trim does
// its work instead. Offsets are never forgotten, so that no group begins anew.
func brokerConfigs() map[string]string {
	return map[string]string{
		"message.max.bytes":         strconv.Itoa(kafkaMaxMessage),
		"log.segment.bytes":         strconv.Itoa(kafkaSegment),
		"log.cleaner.backoff.ms":    strconv.FormatInt(tenYears.Milliseconds(), 10),
		"offsets.retention.minutes": strconv.Itoa(int(tenYears.Minutes())),
	}
}

// forgetMembers removes what a clean shutdown kept of the groups' members. Those were in the
// process that ended; a group would wait for them in vain before it serves the new ones.
func forgetMembers(dir string) error {
	err := os.Remove(filepath.Join(dir, "session_state.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Addr is the address to give to clients.
func (k *Kafka) Addr() string { return k.addr }

// Partitions is how many a topic has; Partitions, the constant, for one that is not there yet.
func (k *Kafka) Partitions(ctx context.Context, topic string) (int, error) {
	topics, err := k.admin.ListTopics(ctx, topic)
	if err != nil {
		return 0, fmt.Errorf("kafka: %w", err)
	}
	return cmp.Or(len(topics[topic].Partitions), Partitions), nil
}

// Close stops the broker. What was acknowledged is on disk already.
func (k *Kafka) Close() error {
	k.stop()
	k.done.Wait()
	k.client.Close()
	k.cluster.Close()
	return nil
}

func closed(l net.Listener) error {
	if err := l.Close(); !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// kafkaLog hands the broker's log on.
type kafkaLog struct{ log *slog.Logger }

var kafkaLevels = map[kfake.LogLevel]slog.Level{
	kfake.LogLevelError: slog.LevelError,
	kfake.LogLevelWarn:  slog.LevelWarn,
}

// Logf keeps the broker's requests out of the log: they are tracing, whatever their level says.
func (l kafkaLog) Logf(level kfake.LogLevel, format string, args ...any) {
	to, ok := kafkaLevels[level]
	if !ok {
		to = slog.LevelDebug
	}
	ctx := context.Background()
	if l.log.Enabled(ctx, to) {
		l.log.Log(ctx, to, "kafka", "says", fmt.Sprintf(format, args...))
	}
}
