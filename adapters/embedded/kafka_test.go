package embedded_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"millrace/adapters/embedded"
)

// childDir names the folder of the broker that a test starts in a process of its own, to kill it.
const (
	childDir      = "MILLRACE_TEST_KAFKA_DIR"
	childUnsynced = "MILLRACE_TEST_KAFKA_UNSYNCED"
)

func startKafka(t *testing.T, dir string, opts embedded.KafkaOptions) *embedded.Kafka {
	t.Helper()
	k, err := embedded.StartKafka("127.0.0.1:0", dir, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = k.Close() })
	return k
}

func kafkaClient(t *testing.T, addr string, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	c, err := kgo.NewClient(append(opts, kgo.SeedBrokers(addr), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchMaxBytes(5<<20),
		kgo.ProducerBatchCompression(kgo.NoCompression()))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func makeTopic(t *testing.T, c *kgo.Client, topic string) {
	t.Helper()
	if _, err := kadm.NewClient(c).CreateTopic(t.Context(), 1, 1, nil, topic); err != nil {
		t.Fatal(err)
	}
}

func produce(t *testing.T, c *kgo.Client, topic string, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		r := &kgo.Record{Topic: topic, Value: fmt.Appendf(nil, "record %d", i)}
		if err := c.ProduceSync(t.Context(), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
}

func commit(t *testing.T, c *kgo.Client, group, topic string, offset int64) {
	t.Helper()
	if err := kadm.NewClient(c).CommitAllOffsets(t.Context(), group, kadm.OffsetsFromRecords(kgo.Record{Topic: topic, Offset: offset - 1})); err != nil {
		t.Fatal(err)
	}
}

// offsets gives the first offset, the end, and what the group has committed.
func offsets(t *testing.T, c *kgo.Client, group, topic string) (first, end, committed int64) {
	t.Helper()
	admin := kadm.NewClient(c)
	starts, err := admin.ListStartOffsets(t.Context(), topic)
	if err != nil {
		t.Fatal(err)
	}
	ends, err := admin.ListEndOffsets(t.Context(), topic)
	if err != nil {
		t.Fatal(err)
	}
	commits, err := admin.FetchOffsets(t.Context(), group)
	if err != nil && !errors.Is(err, kerr.GroupIDNotFound) {
		t.Fatal(err)
	}
	start, _ := starts.Lookup(topic, 0)
	last, _ := ends.Lookup(topic, 0)
	done, _ := commits.Lookup(topic, 0)
	return start.Offset, last.Offset, done.At
}

func wantOffsets(t *testing.T, c *kgo.Client, group, topic string, first, end, committed int64) {
	t.Helper()
	f, e, o := offsets(t, c, group, topic)
	if f != first || e != end || o != committed {
		t.Errorf("first %d, end %d, committed %d; want %d, %d, %d", f, e, o, first, end, committed)
	}
}

// TestKafkaChild is no test: it is the broker that the next test kills.
func TestKafkaChild(t *testing.T) {
	dir := os.Getenv(childDir)
	if dir == "" {
		t.SkipNow()
	}
	k := startKafka(t, dir, embedded.KafkaOptions{Unsynced: os.Getenv(childUnsynced) != ""})
	fmt.Println("listening", k.Addr())
	<-t.Context().Done()
}

func TestRecordsAndCommittedOffsetsSurviveAKill(t *testing.T) {
	t.Parallel()
	for name, unsynced := range map[string]string{"synced": "", "unsynced": "yes"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			kill, addr := kafkaProcess(t, dir, unsynced)
			c := kafkaClient(t, addr)
			makeTopic(t, c, "order.events")
			produce(t, c, "order.events", 0, 100)
			commit(t, c, "payment", "order.events", 60)
			kill()

			again := kafkaClient(t, startKafka(t, dir, embedded.KafkaOptions{}).Addr(),
				kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{"order.events": {0: kgo.NewOffset().At(99)}}))
			wantOffsets(t, again, "payment", "order.events", 0, 100, 60)
			fetched := again.PollRecords(t.Context(), 1)
			if err := fetched.Err(); err != nil {
				t.Fatal(err)
			}
			if r := fetched.Records(); len(r) != 1 || string(r[0].Value) != "record 99" {
				t.Errorf("the last record is %v", r)
			}
		})
	}
}

// kafkaProcess starts a broker in a process of its own.
func kafkaProcess(t *testing.T, dir, unsynced string) (kill func(), addr string) {
	t.Helper()
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKafkaChild$", "-test.timeout=1m")
	child.Env = append(os.Environ(), childDir+"="+dir, childUnsynced+"="+unsynced)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(out); addr == "" && lines.Scan(); {
		addr, _ = strings.CutPrefix(lines.Text(), "listening ")
	}
	return func() {
		if err := child.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = child.Wait() // it says that it was killed
	}, addr
}

func TestOldRecordsGoOnceEveryGroupHasReadThem(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	k := startKafka(t, dir, embedded.KafkaOptions{Retain: 10})
	c := kafkaClient(t, k.Addr())
	makeTopic(t, c, "order.events")
	makeTopic(t, c, "payment-service.dlq")
	produce(t, c, "order.events", 0, 100)
	produce(t, c, "payment-service.dlq", 0, 30)
	commit(t, c, "fast", "order.events", 100)
	commit(t, c, "slow", "order.events", 25)
	trim := func() {
		t.Helper()
		if err := k.Trim(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	trim()
	wantOffsets(t, c, "slow", "order.events", 25, 100, 25)
	wantOffsets(t, c, "nobody", "payment-service.dlq", 20, 30, 0)
	commit(t, c, "slow", "order.events", 100)
	trim()
	wantOffsets(t, c, "slow", "order.events", 90, 100, 100)

	if err := k.Close(); err != nil {
		t.Fatal(err)
	}
	k = startKafka(t, dir, embedded.KafkaOptions{Retain: 10})
	wantOffsets(t, kafkaClient(t, k.Addr()), "slow", "order.events", 90, 100, 100)
}

func TestTrimmingHappensByItself(t *testing.T) {
	t.Parallel()
	k := startKafka(t, t.TempDir(), embedded.KafkaOptions{Retain: 1, TrimEvery: time.Millisecond})
	c := kafkaClient(t, k.Addr())
	makeTopic(t, c, "order.events")
	produce(t, c, "order.events", 0, 5)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for first := int64(0); first != 4; first, _, _ = offsets(t, c, "nobody", "order.events") {
		if ctx.Err() != nil {
			t.Fatal("old records are still there")
		}
	}
}

func TestAGroupThatHasNotCommittedYetLosesNothing(t *testing.T) {
	t.Parallel()
	k := startKafka(t, t.TempDir(), embedded.KafkaOptions{Retain: 1})
	c := kafkaClient(t, k.Addr())
	makeTopic(t, c, "order.events")
	produce(t, c, "order.events", 0, 20)
	reader := kafkaClient(t, k.Addr(), kgo.ConsumerGroup("new"), kgo.ConsumeTopics("order.events"), kgo.DisableAutoCommit())
	if err := reader.PollRecords(t.Context(), 1).Err(); err != nil {
		t.Fatal(err)
	}
	if err := k.Trim(t.Context()); err != nil {
		t.Fatal(err)
	}
	if first, _, _ := offsets(t, c, "new", "order.events"); first != 0 {
		t.Errorf("a reader without a commit lost %d records", first)
	}
}

func TestMembersOfAGroupThatEndedWithTheProcessAreNotWaitedFor(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	read := func(k *embedded.Kafka) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		reader := kafkaClient(t, k.Addr(), kgo.ConsumerGroup("g"), kgo.ConsumeTopics("order.events"), kgo.DisableAutoCommit())
		if err := reader.PollRecords(ctx, 1).Err(); err != nil {
			t.Fatalf("the group was not ready: %v", err)
		}
	}
	k := startKafka(t, dir, embedded.KafkaOptions{})
	c := kafkaClient(t, k.Addr())
	makeTopic(t, c, "order.events")
	produce(t, c, "order.events", 0, 1)
	read(k)
	if err := k.Close(); err != nil { // the reader has not left
		t.Fatal(err)
	}
	read(startKafka(t, dir, embedded.KafkaOptions{}))
}

func TestAFolderKeepsThePartitionsThatItHas(t *testing.T) {
	t.Parallel()
	k := startKafka(t, t.TempDir(), embedded.KafkaOptions{})
	if _, err := kadm.NewClient(kafkaClient(t, k.Addr())).CreateTopic(t.Context(), 12, 1, nil, "order.events"); err != nil {
		t.Fatal(err)
	}
	if n, err := k.Partitions(t.Context(), "order.events"); err != nil || n != 12 {
		t.Errorf("a topic of 12 is to have %d, %v", n, err)
	}
	if n, err := k.Partitions(t.Context(), "payment.events"); err != nil || n != embedded.Partitions {
		t.Errorf("a topic that is not there is to have %d, %v", n, err)
	}
}

func TestTheBrokerTakesLargeRecordsAndMakesNoTopicsByItself(t *testing.T) {
	t.Parallel()
	k := startKafka(t, t.TempDir(), embedded.KafkaOptions{})
	c := kafkaClient(t, k.Addr(), kgo.AllowAutoTopicCreation(), kgo.UnknownTopicRetries(1))
	makeTopic(t, c, "large")
	for size, want := range map[int]error{4<<20 - 1024: nil, 4<<20 + 1024: kerr.MessageTooLarge} {
		if err := c.ProduceSync(t.Context(), &kgo.Record{Topic: "large", Value: make([]byte, size)}).FirstErr(); !errors.Is(err, want) {
			t.Errorf("%d bytes: got %v, want %v", size, err, want)
		}
	}
	if err := c.ProduceSync(t.Context(), &kgo.Record{Topic: "unknown", Value: []byte("x")}).FirstErr(); !errors.Is(err, kerr.UnknownTopicOrPartition) {
		t.Errorf("unknown topic: got %v", err)
	}
}
