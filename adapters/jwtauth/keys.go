package jwtauth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/MicahParks/keyfunc/v3"
	"github.com/golang-jwt/jwt/v5"
)

const (
	// refreshEvery is how long a key that the provider has withdrawn may still be taken.
	refreshEvery = 5 * time.Minute
	// askPause is the least time between two fetches that unknown key ids ask for: whoever makes ids up must not have us
	// call the provider for each.
	askPause = 2 * time.Second
	// fetchLimit is how long a fetch may take; a token with an unknown key id waits for it.
	fetchLimit = 3 * time.Second
	// retryPause is how soon a fetch that failed is tried again while there are no keys at all; it doubles up to
	// longestRetry.
	retryPause   = time.Second
	longestRetry = 10 * time.Second
	// longestSet is the size in bytes above which a JWK Set is not read.
	longestSet = 1 << 20
)

// keySet is the keys that the identity provider publishes, as they were fetched last. While the provider is away those
// stay in force. Keys are fetched by one goroutine at a time.
type keySet struct {
	url    string
	client *http.Client
	log    *slog.Logger
	now    func() time.Time
	set    atomic.Pointer[fetched] // nil before the first

	mu    sync.Mutex // held while keys are fetched
	tried time.Time  // when that was done last
	err   error      // how it went
}

// fetched is one set of keys that are for signatures.
type fetched struct{ keyfunc.Keyfunc }

func newKeySet(cfg Config) *keySet {
	transport := cfg.Transport
	if transport == nil {
		transport = http.DefaultTransport
	}
	return &keySet{url: cfg.JWKSURL, client: &http.Client{Transport: transport}, log: cfg.Logger, now: cfg.Now}
}

func (k *keySet) there() bool { return k.set.Load() != nil }

// find gives the key that a token names, and asks the provider for an id that is not known: it may have begun to sign
// with a new key. It fails with errNoKeys when the provider would have to be asked and is away, or was asked just before.
func (k *keySet) find(ctx context.Context, t *jwt.Token) (any, error) {
	if _, named := t.Header["kid"]; !named { // keyfunc would try all of them
		return nil, errNoKeyID
	}
	set := k.set.Load()
	if set == nil {
		return nil, errNoKeys
	}
	key, err := set.KeyfuncCtx(ctx)(t)
	if !errors.Is(err, jwkset.ErrKeyNotFound) {
		return key, err
	}
	if err := k.ask(ctx, set); err != nil { // nobody can tell yet whether there is such a key
		return nil, errNoKeys.Because(err)
	}
	return k.set.Load().KeyfuncCtx(ctx)(t)
}

var errJustAsked = errors.New("the keys were fetched just before the token came")

// ask fetches the keys because old does not have what is sought, unless that was done in the meantime. Where it was done
// just before, it has to wait.
func (k *keySet) ask(ctx context.Context, old *fetched) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case k.set.Load() != old:
		return k.err
	case k.now().Sub(k.tried) < askPause:
		return errJustAsked
	}
	return k.fetch(context.WithoutCancel(ctx)) // others wait for it, too
}

// run keeps the keys fresh until ctx ends.
func (k *keySet) run(ctx context.Context) error {
	for retry := retryPause; ; {
		k.mu.Lock()
		err := k.fetch(ctx)
		k.mu.Unlock()
		if ctx.Err() != nil {
			return nil //nolint:nilerr // it was told to end
		}
		pause := refreshEvery
		if err != nil {
			k.log.WarnContext(ctx, "the keys that tokens are checked with were not fetched", "error", err, "earlierKeys", k.there())
			if !k.there() {
				pause, retry = retry, min(2*retry, longestRetry)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
	}
}

// fetch replaces the keys by those that are published now. The caller holds mu.
func (k *keySet) fetch(ctx context.Context) error {
	set, err := k.read(ctx)
	if err == nil {
		k.set.Store(set)
	}
	k.tried, k.err = k.now(), err
	return err
}

func (k *keySet) read(ctx context.Context) (*fetched, error) {
	all, err := k.published(ctx)
	if err != nil {
		return nil, fmt.Errorf("fetch keys: %w", err)
	}
	store := jwkset.NewMemoryStorage()
	if err := store.KeyReplaceAll(ctx, all); err != nil {
		return nil, fmt.Errorf("fetch keys: %w", err)
	}
	keys, err := keyfunc.New(keyfunc.Options{Ctx: ctx, Storage: store, UseWhitelist: []jwkset.USE{jwkset.UseSig, ""}})
	if err != nil {
		return nil, fmt.Errorf("fetch keys: %w", err)
	}
	return &fetched{keys}, nil
}

// published asks the provider for its keys. One that cannot be used, since it is of another kind or a mistake, is passed
// over and keeps no other from being used.
func (k *keySet) published(ctx context.Context) ([]jwkset.JWK, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchLimit)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, k.url, nil)
	if err != nil {
		return nil, err
	}
	answer, err := k.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the answer is %s", answer.Status)
	}
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.NewDecoder(io.LimitReader(answer.Body, longestSet)).Decode(&set); err != nil {
		return nil, fmt.Errorf("the answer is no JWK Set: %w", err)
	}
	var all []jwkset.JWK
	for i, raw := range set.Keys {
		key, err := readKey(raw)
		if err != nil {
			k.log.WarnContext(ctx, "a published key cannot be used and is passed over", "key", i+1, "error", err)
			continue
		}
		all = append(all, key)
	}
	if len(all) == 0 {
		return nil, errors.New("there is none that can be used")
	}
	return all, nil
}

func readKey(raw json.RawMessage) (jwkset.JWK, error) {
	var key jwkset.JWKMarshal
	if err := json.Unmarshal(raw, &key); err != nil {
		return jwkset.JWK{}, err
	}
	return jwkset.NewJWKFromMarshal(key, jwkset.JWKMarshalOptions{Private: true}, jwkset.JWKValidateOptions{})
}
