package main

import (
	"testing"

	"millrace/adapters/kafkabus"
)

func TestTheSubscriberIsTheOneThatTheSettingNames(t *testing.T) {
	t.Parallel()
	c := kafkabus.Config{Brokers: []string{"127.0.0.1:1"}}
	plain, err := subscriberOf("plain")(c, "g")
	if _, ok := plain.(*kafkabus.Subscriber); !ok || err != nil {
		t.Errorf("plain is a %T, %v", plain, err)
	}
	windowed, err := subscriberOf("windowed")(c, "g")
	if _, ok := windowed.(*kafkabus.Windowed); !ok || err != nil {
		t.Errorf("windowed is a %T, %v", windowed, err)
	}
}
