package service

import (
	"slices"

	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// newSampler decides about roots. Whatever has a parent follows it; a root with links is sampled exactly if one of its links is, so
// that a batch is seen by whoever sees a vote in it; any other root is sampled by ratio.
func newSampler(ratio float64) sdk.Sampler {
	return sdk.ParentBased(linked{byRatio: sdk.TraceIDRatioBased(ratio)})
}

type linked struct{ byRatio sdk.Sampler }

// ShouldSample is part of sdk.Sampler.
func (l linked) ShouldSample(p sdk.SamplingParameters) sdk.SamplingResult {
	if len(p.Links) == 0 {
		return l.byRatio.ShouldSample(p)
	}
	if slices.ContainsFunc(p.Links, func(l trace.Link) bool { return l.SpanContext.IsSampled() }) {
		return sdk.AlwaysSample().ShouldSample(p)
	}
	return sdk.NeverSample().ShouldSample(p)
}

// Description is part of sdk.Sampler.
func (l linked) Description() string { return "Linked{" + l.byRatio.Description() + "}" }
