package deps

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// lack is a program that a server needs and this machine has not.
type lack struct {
	server, program string
	debian          string // the package that has it
}

// needPrograms makes sure of the programs that the servers need, by installing them if that is wanted.
func (s *site) needPrograms(ctx context.Context, names []string, install bool) error {
	lacks := s.lacks(ctx, names)
	if len(lacks) > 0 && install && os.Geteuid() == 0 {
		if err := s.aptInstall(ctx, lacks); err != nil {
			return err
		}
		lacks = s.lacks(ctx, names)
	}
	if len(lacks) == 0 {
		return nil
	}
	var errs []error
	for _, l := range lacks {
		errs = append(errs, fmt.Errorf("%s needs %s, which is not installed (Debian's package: %s)", l.server, l.program, l.debian))
	}
	return errors.Join(append(errs, errors.New("--install gets them on Debian, as root"))...)
}

func (s *site) lacks(ctx context.Context, names []string) []lack {
	var lacks []lack
	need := func(server, program, debian string) {
		if _, err := exec.LookPath(program); err != nil {
			lacks = append(lacks, lack{server, program, debian})
		}
	}
	for _, name := range names {
		switch name {
		case Redis, RedisCluster, RedisSentinel:
			need(name, "redis-server", "redis-server")
		case Kafka, KafkaCluster:
			need(name, "java", "openjdk-17-jre-headless")
			if !(kafkaServer{s, name}).haveJars() {
				need(name, "mvn", "maven")
			}
		case Postgres:
			if len(fullInstallations(ctx)) == 0 {
				lacks = append(lacks, lack{Postgres, "postgres with pg_basebackup", "postgresql"})
			}
		case Etcd:
			need(Etcd, "etcd", "etcd-server")
		}
	}
	return lacks
}

// aptInstall installs the packages on Debian and its like.
func (s *site) aptInstall(ctx context.Context, lacks []lack) error {
	if _, err := exec.LookPath("apt-get"); err != nil {
		return errors.New("--install needs apt-get, which this system has not")
	}
	var packages []string
	for _, l := range lacks {
		if !slices.Contains(packages, l.debian) {
			packages = append(packages, l.debian)
		}
	}
	s.say("installing %s", strings.Join(packages, ", "))
	for _, args := range [][]string{{"update", "-q"}, append([]string{"install", "-q", "-y", "--no-install-recommends"}, packages...)} {
		cmd := exec.CommandContext(ctx, "apt-get", args...)
		// The runlevel keeps the packages from starting services of their own.
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive", "RUNLEVEL=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("apt-get %s: %w\n%s", args[0], err, out)
		}
	}
	return nil
}
