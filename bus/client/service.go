package client

import (
	"crypto/rand"
	"iter"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/micro"

	"github.com/vmscaler/vmscaler/bus"
)

const serviceName = "vmscaler"

// service is how NATS's tools see what answers requests: its description, and what it did. The library's own service
// answers wherever the asker says, also to where the stages talk; therefore it is not used.
type service struct {
	info      micro.Info
	started   time.Time
	endpoints []*endpoint
}

func newService(stage, version string) *service {
	return &service{started: time.Now().UTC(), info: micro.Info{
		ServiceIdentity: micro.ServiceIdentity{
			Name: serviceName, ID: rand.Text(), Version: semver(version),
			Metadata: map[string]string{"stage": stage, "program_version": version},
		},
		Type: micro.InfoResponseType, Description: "autoscaler for groups of libvirt VMs",
	}}
}

// add makes an endpoint known. All are added before the first question.
func (s *service) add(name, subject string) *endpoint {
	e := &endpoint{stats: micro.EndpointStats{Name: name, Subject: subject}}
	s.endpoints = append(s.endpoints, e)
	s.info.Endpoints = append(s.info.Endpoints, micro.EndpointInfo{Name: name, Subject: subject})
	return e
}

// discovery are the subjects at which tools ask for services, each with what describes this one.
func (s *service) discovery() iter.Seq2[string, func() any] {
	return func(yield func(string, func() any) bool) {
		for verb, describe := range map[micro.Verb]func() any{
			micro.PingVerb:  func() any { return micro.Ping{ServiceIdentity: s.info.ServiceIdentity, Type: micro.PingResponseType} },
			micro.InfoVerb:  func() any { return s.info },
			micro.StatsVerb: func() any { return s.stats() },
		} {
			all := micro.APIPrefix + "." + verb.String()
			for _, subject := range []string{all, all + "." + serviceName, all + "." + serviceName + "." + s.info.ID} {
				if !yield(subject, describe) {
					return
				}
			}
		}
	}
}

func (s *service) stats() micro.Stats {
	stats := micro.Stats{ServiceIdentity: s.info.ServiceIdentity, Type: micro.StatsResponseType, Started: s.started}
	for _, e := range s.endpoints {
		e.mu.Lock()
		now := e.stats
		e.mu.Unlock()
		stats.Endpoints = append(stats.Endpoints, &now)
	}
	return stats
}

// endpoint counts the requests of one subject.
type endpoint struct {
	mu    sync.Mutex
	stats micro.EndpointStats
}

func (e *endpoint) count(took time.Duration, refused *bus.RefusedError) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.stats.NumRequests++
	e.stats.ProcessingTime += took
	e.stats.AverageProcessingTime = e.stats.ProcessingTime / time.Duration(e.stats.NumRequests)
	if refused != nil {
		e.stats.NumErrors++
		e.stats.LastError = refused.Text
	}
}

// semver is the form that a service's version must have; ours may be a commit.
func semver(version string) string {
	clean := strings.Map(func(r rune) rune {
		if r == '-' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
			return r
		}
		return '-'
	}, version)
	if clean == "" {
		clean = "dev"
	}
	return "0.0.0+" + clean
}
