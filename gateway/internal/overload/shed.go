package overload

import "context"

type shedKey struct{}

// Shed returns the context of a request that is to be refused where it is answered, in words of its own, since its client
// understands no others. Nothing is to be done for it.
func Shed(ctx context.Context) context.Context { return context.WithValue(ctx, shedKey{}, true) }

// IsShed says whether a request is to be refused.
func IsShed(ctx context.Context) bool {
	shed, _ := ctx.Value(shedKey{}).(bool)
	return shed
}
