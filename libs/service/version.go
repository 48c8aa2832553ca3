package service

import "runtime/debug"

// version is the release that this source is, or is on the way to. A build may say another:
// -ldflags "-X github.com/littlevote/littlevote/libs/service.version=1.2.3".
var version = "0.1.0-dev" // the linker sets variables only

// Version is the release of this program.
func Version() string { return version }

// Revision is the commit that this program was built from; empty where the build did not say.
func Revision() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return s.Value
		}
	}
	return ""
}
