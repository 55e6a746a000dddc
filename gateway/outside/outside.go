// Package outside runs the part of the gateway that talks to other people's servers: the sinks and
// the integrations. Doors do not depend on any of it.
package outside

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"latchkey/gateway/access"
	"latchkey/gateway/access/sinks"
	"latchkey/gateway/account"
	"latchkey/gateway/admin/api"
	"latchkey/gateway/cloudevent"
	"latchkey/gateway/doctor"
	"latchkey/gateway/feed"
	"latchkey/gateway/homeassistant"
	"latchkey/gateway/mqtt"
	"latchkey/gateway/observe"
	"latchkey/gateway/sink"
	"latchkey/gateway/sink/amqp091"
	"latchkey/gateway/sink/amqp10"
	"latchkey/gateway/sink/mqttout"
	"latchkey/gateway/sink/natsout"
	"latchkey/gateway/sink/sender"
	"latchkey/gateway/sink/webhook"
	"latchkey/gateway/store"
	"latchkey/gateway/text"
)

// Config says what the sinks and integrations work with. All fields are required.
type Config struct {
	Store *store.Store
	Feed  *feed.Feed
	// Apply changes the policy: a sink or an integration can be paused.
	Apply func(ctx context.Context, actor string, changes ...access.Change) (uint64, error)
	// Operate runs an attempt. An error means that nothing was decided.
	Operate      func(ctx context.Context, a access.Attempt) error
	Doors        homeassistant.Doors
	Sessions     homeassistant.Sessions
	ClockTrusted func(now time.Time) (trusted bool, why string)
	Log          *slog.Logger
	Version      string // of the program
	URL          string // of the console; may be empty
}

// Outside is the sinks and the integrations of a running gateway.
type Outside struct {
	cfg   Config
	sinks *sink.Engine
	homes *homeassistant.Engine
}

// New returns them. Nothing is sent before Run.
func New(cfg Config) *Outside {
	o := &Outside{cfg: cfg}
	o.sinks = sink.New(sink.Config{Store: cfg.Store, Feed: cfg.Feed, Policy: cfg.Store.Snapshot,
		Source: o.source, Apply: cfg.Apply, Protocols: protocols, Log: cfg.Log})
	o.homes = homeassistant.New(homeassistant.Config{Site: cfg.Store.SiteID(), Policy: cfg.Store.Snapshot,
		Feed: cfg.Feed, Events: cfg.Store, Doors: cfg.Doors, Sessions: cfg.Sessions, Operate: cfg.Operate,
		CheckCode: account.NewCodeChecker().Fits, Pause: o.pause, ClockTrusted: cfg.ClockTrusted,
		Log:     cfg.Log,
		Version: cfg.Version, URL: cfg.URL})
	return o
}

// protocols make the senders.
var protocols = map[sinks.Protocol]sink.Protocol{
	sinks.Webhook: webhook.New,
	sinks.AMQP091: func(r sinks.Sink) (sender.Sender, error) { return amqp091.New(r), nil },
	sinks.AMQP10:  func(r sinks.Sink) (sender.Sender, error) { return amqp10.New(r), nil },
	sinks.NATS:    natsout.New,
	sinks.MQTT:    mqttout.New,
}

func (o *Outside) source() cloudevent.Source {
	return cloudevent.Source{Site: o.cfg.Store.SiteID(), Epoch: max(1, o.cfg.Store.Snapshot().Site.Epoch)}
}

// pause pauses an integration until somebody resumes it.
func (o *Outside) pause(ctx context.Context, id access.ID, why string) error {
	r, ok := o.cfg.Store.Snapshot().Integrations[id]
	if !ok || r.Paused != "" {
		return nil
	}
	r.Paused = why
	_, err := o.cfg.Apply(ctx, "gateway", access.Change{Put: r})
	return err
}

// Run sends and listens until ctx ends, and returns nil. What fails here is logged, and ends no
// door.
func (o *Outside) Run(ctx context.Context) error {
	var parts errgroup.Group
	for name, run := range map[string]func(context.Context) error{"sinks": o.sinks.Run,
		"integrations": o.homes.Run} {
		parts.Go(func() error {
			if err := run(ctx); err != nil && ctx.Err() == nil {
				o.cfg.Log.Error("ended: a restart begins it again", "part", name, "err", err)
			}
			return nil
		})
	}
	return parts.Wait()
}

// SinkStatus returns how the sink is doing, and false if it is not known yet.
func (o *Outside) SinkStatus(ctx context.Context, id access.ID) (api.SinkStatus, bool) {
	all, err := o.sinks.Status(ctx)
	if err != nil {
		o.cfg.Log.Error("sinks not examined", "err", err)
	}
	for _, s := range all {
		if s.Sink == id {
			return viewSink(s), true
		}
	}
	return api.SinkStatus{}, false
}

func viewSink(s sink.Status) api.SinkStatus {
	v := api.SinkStatus{State: string(s.State), Why: s.Why, Seq: s.Seq, LagEvents: s.Lag,
		LagSeconds: s.Age.Seconds(), Taken: s.Taken, Dead: s.Dead, LastError: s.LastError, ErrorAt: s.ErrorAt,
		NextTry: s.NextTry}
	for _, n := range s.Failed {
		v.Failed += n
	}
	return v
}

// TestSink sends one test event.
func (o *Outside) TestSink(ctx context.Context, r sinks.Sink) error {
	ctx, cancel := context.WithTimeout(ctx, testWithin)
	defer cancel()
	return o.sinks.Test(ctx, r)
}

// RetryDeadLetter sends a refused event once more, and removes its dead letter if it is taken.
func (o *Outside) RetryDeadLetter(ctx context.Context, id access.ID, seq uint64) error {
	ctx, cancel := context.WithTimeout(ctx, testWithin)
	defer cancel()
	return o.sinks.Retry(ctx, id, seq)
}

// IntegrationStatus returns how the integration is doing, and false if it is not known yet.
func (o *Outside) IntegrationStatus(id access.ID) (api.IntegrationStatus, bool) {
	for _, s := range o.homes.Status() {
		if s.ID != id {
			continue
		}
		v := api.IntegrationStatus{Connected: s.Connection.Connected, Since: s.Connection.Since,
			LastError: cmp.Or(s.Trouble, text.MakePlain(s.Connection.Error)), WrongCodes: s.WrongCodes,
			CodesAfter: uint32(s.Shut.Round(time.Second) / time.Second), Refused: map[string]uint64{}}
		for reason, n := range s.Refused {
			v.Refused[reason] = n
		}
		return v, true
	}
	return api.IntegrationStatus{}, false
}

// testWithin bounds a test of a server: somebody waits for the answer at a terminal, for 10 s.
const testWithin = 8 * time.Second

// TestIntegration connects to the broker once, with another client id, so that the running
// connection stays.
func (o *Outside) TestIntegration(ctx context.Context, r access.Integration) error {
	ctx, cancel := context.WithTimeout(ctx, testWithin)
	defer cancel()
	c, err := mqtt.Open(ctx, mqtt.Settings{Endpoint: r.Endpoint,
		ClientID: "latchkey-test-" + string(access.NewID())})
	if err != nil {
		return err
	}
	return c.Close()
}

// lateAfter is how far a sink may be behind before the doctor says so.
const lateAfter = time.Hour

// Findings returns what is wrong with the sinks and the integrations, and what to do.
func (o *Outside) Findings(ctx context.Context) (found []doctor.Finding) {
	add := func(what, do string, format string, a ...any) {
		found = append(found, doctor.Finding{Code: what, Text: fmt.Sprintf(format, a...), Do: do})
	}
	all, err := o.sinks.Status(ctx)
	if err != nil && !errors.Is(err, context.Canceled) {
		add(doctor.CodeSink, "restart the gateway if it goes on", "the sinks could not be examined")
	}
	for _, s := range all {
		switch {
		case s.State == sink.Paused:
			add(doctor.CodeSink, adviseResume(s.Why, "mend that", "sink", s.Name), "sink %s is paused: %s",
				s.Name, s.Why)
		case s.Age > lateAfter:
			add(doctor.CodeSink, "see what its server answers: latchkey sink test "+s.Name,
				"sink %s is %d events behind, the first from %v ago: %s", s.Name, s.Lag, s.Age.Round(time.Minute),
				cmp.Or(s.LastError, "its server is slow"))
		}
		if s.Dead > 0 {
			add(doctor.CodeSink, "see them: latchkey sink dead "+s.Name,
				"sink %s has dead letters, events that its server refused: %d", s.Name, s.Dead)
		}
	}
	for _, s := range o.homes.Status() {
		switch {
		case s.Paused != "":
			add(doctor.CodeIntegration, adviseResume(s.Paused, "find out who tried", "integration", s.Name),
				"integration %s is paused: %s", s.Name, s.Paused)
		case s.Trouble != "":
			add(doctor.CodeIntegration, "give latchkey the rights at the broker that the README lists",
				"integration %s: %s", s.Name, s.Trouble)
		case !s.Connection.Connected && !s.Connection.Since.IsZero():
			add(doctor.CodeIntegration, "try again at once: latchkey integration test "+s.Name,
				"integration %s is not connected to %s: %s", s.Name, s.Connection.Server, text.MakePlain(s.Connection.Error))
		}
	}
	return found
}

// adviseResume returns how to resume something that is paused, and what to do first if nobody paused
// it.
func adviseResume(why, first, kind, name string) string {
	if strings.HasPrefix(why, "paused by ") {
		first = "when it is to go on"
	} else {
		first += ", then"
	}
	return first + ": latchkey " + kind + " resume " + name
}

// Figures returns the figures of the sinks, for Prometheus.
func (o *Outside) Figures() (out []observe.SinkFigures) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	all, err := o.sinks.Status(ctx)
	if err != nil {
		o.cfg.Log.Error("sinks not examined", "err", err)
	}
	for _, s := range all {
		f := observe.SinkFigures{Name: s.Name, Lag: s.Lag, Age: s.Age, Taken: s.Taken, Dead: s.Dead,
			Failed: map[string]uint64{}}
		for _, why := range sink.Failures {
			f.Failed[string(why)] = s.Failed[why]
		}
		out = append(out, f)
	}
	return out
}
