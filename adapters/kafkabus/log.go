package kafkabus

import (
	"fmt"
	"log/slog"
	"strings"

	"github.com/IBM/sarama"
	"github.com/ThreeDotsLabs/watermill"
	"github.com/rcrowley/go-metrics"
)

// RouteSaramaLogs sends sarama's log to logger, at debug level, and lets it keep no statistics: nobody
// reads them, and they are a fiftieth of a service's processor time. Both are one for the whole
// process, so this is called once, by main, before the first connection.
func RouteSaramaLogs(logger *slog.Logger) {
	metrics.UseNilMetrics = true
	sarama.Logger = saramaLog{logger.With("library", "sarama")}
}

type saramaLog struct{ logger *slog.Logger }

// Print implements sarama.StdLogger.
func (l saramaLog) Print(v ...any) {
	l.logger.Debug("sarama", "says", strings.TrimSpace(fmt.Sprint(v...)))
}

// Printf implements sarama.StdLogger.
func (l saramaLog) Printf(format string, v ...any) {
	l.logger.Debug("sarama", "says", strings.TrimSpace(fmt.Sprintf(format, v...)))
}

// Println implements sarama.StdLogger.
func (l saramaLog) Println(v ...any) {
	l.logger.Debug("sarama", "says", strings.TrimSpace(fmt.Sprintln(v...)))
}

// watermillLog is logger in Watermill's shape. What Watermill calls info is its own bookkeeping.
func watermillLog(logger *slog.Logger) watermill.LoggerAdapter {
	return watermill.NewSlogLoggerWithLevelMapping(logger, map[slog.Level]slog.Level{slog.LevelInfo: slog.LevelDebug})
}
