package main

import (
	"context"
	"sync"
	"time"

	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/stanza/adapter"
	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/stanza/operator"
	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/stanza/operator/input/journald"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/receiver"
)

// The receiver journald can't be had as a Go module, what it is made of can. It reads the same
// configuration as upstream's.
type journaldType struct{}

type journaldConfig struct {
	adapter.BaseConfig `mapstructure:",squash"`
	InputConfig        journald.Config `mapstructure:",squash"`
}

func newJournald() receiver.Factory {
	return adapter.NewFactory(journaldType{}, component.StabilityLevelAlpha)
}

func (journaldType) Type() component.Type { return component.MustNewType("journald") }

func (journaldType) CreateDefaultConfig() component.Config {
	return &journaldConfig{InputConfig: *journald.NewConfig()}
}

func (journaldType) BaseConfig(from component.Config) adapter.BaseConfig {
	return from.(*journaldConfig).BaseConfig
}

func (journaldType) InputConfig(from component.Config) operator.Config {
	return operator.NewConfig(&builder{&from.(*journaldConfig).InputConfig})
}

// handOver is much longer than an entry takes from its place's keeping to where batches are made.
const handOver = 50 * time.Millisecond

type builder struct{ *journald.Config }

func (b *builder) Build(set component.TelemetrySettings) (operator.Operator, error) {
	made, err := b.Config.Build(set)
	return &input{Operator: made}, err
}

// input stops between two entries. Upstream's reads on while the collector ends: an entry whose
// place is kept but that nobody takes any more is lost, one that is taken but not kept comes twice.
type input struct {
	operator.Operator
	ended sync.Mutex
}

func (i *input) Start(places operator.Persister) error {
	return i.Operator.Start(&keeper{places, &i.ended})
}

func (i *input) Stop() error {
	i.ended.Lock() // for good: the next entry waits there until the process ends
	time.Sleep(handOver)
	return i.Operator.Stop()
}

// keeper keeps the place of an entry, which comes before it is handed on.
type keeper struct {
	operator.Persister
	ended *sync.Mutex
}

func (k *keeper) Set(ctx context.Context, key string, value []byte) error {
	k.ended.Lock()
	defer k.ended.Unlock()
	return k.Persister.Set(ctx, key, value)
}
