package embedded

import "log/slog"

// Option changes how a part is started.
type Option func(*options)

type options struct {
	log       *slog.Logger
	throwaway bool
}

// Log sets where a part reports what it does and what goes wrong; without it nothing is reported.
func Log(log *slog.Logger) Option {
	return func(o *options) { o.log = log }
}

// Throwaway says that the data need not survive this process: nothing is flushed to the disk. For tests.
func Throwaway() Option {
	return func(o *options) { o.throwaway = true }
}

func collect(opts []Option) options {
	o := options{log: slog.New(slog.DiscardHandler)}
	for _, opt := range opts {
		opt(&o)
	}
	return o
}
