package main

import (
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
	return operator.NewConfig(&from.(*journaldConfig).InputConfig)
}
