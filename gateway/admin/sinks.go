package admin

import (
	"cmp"
	"context"
	"fmt"
	"strconv"

	"latchkey/gateway/access"
	"latchkey/gateway/access/sinks"
	"latchkey/gateway/admin/api"
	"latchkey/gateway/admin/route"
	"latchkey/gateway/admin/servers"
	"latchkey/gateway/doctor"
	"latchkey/keys"
)

// Outside is the part of the running gateway that talks to other people's servers.
type Outside interface {
	// SinkStatus returns how the sink is doing, and false if it is not known yet.
	SinkStatus(ctx context.Context, id access.ID) (api.SinkStatus, bool)
	// TestSink sends one test event.
	TestSink(ctx context.Context, r sinks.Sink) error
	// RetryDeadLetter sends a refused event once more, and removes its dead letter if it is taken.
	RetryDeadLetter(ctx context.Context, id access.ID, seq uint64) error
	// Findings returns what is wrong with sinks and integrations, and what to do.
	Findings(ctx context.Context) []doctor.Finding
	// IntegrationStatus returns how the integration is doing, and false if it is not known yet.
	IntegrationStatus(id access.ID) (api.IntegrationStatus, bool)
	// TestIntegration connects to the broker once.
	TestIntegration(ctx context.Context, r access.Integration) error
}

// maxDeadShown is how many dead letters a list has: as many as a sink can have.
const maxDeadShown = 1000

func (a *server) addSinkRoutes() {
	handle(a, api.ListSinks,
		func(ctx context.Context, in *api.ListQuery) (api.List[api.Sink], error) {
			p := a.Store.Snapshot()
			return listRecords(a, p, sinks.Kind.In(p), catalog[sinks.Sink, api.Sink]{draw: a.viewSink(ctx),
				key: func(v api.Sink) string { return v.Name }}, *in)
		})
	handle(a, api.AddSink,
		func(ctx context.Context, in *api.Body[api.NewSink]) (api.Sink, error) {
			return a.addSink(ctx, in.Body)
		})
	handle(a, api.GetSink,
		func(ctx context.Context, in *api.ByRef) (api.Sink, error) {
			return showRecord(a, in.Ref, findSink, a.viewSink(ctx))
		})
	handle(a, api.ChangeSink,
		func(ctx context.Context, in *api.RefBody[api.SinkChange]) (api.Sink, error) {
			return a.changeSink(ctx, in.Ref, in.Body)
		})
	handle(a, api.RemoveSink,
		func(ctx context.Context, in *api.ByRef) (api.Changed, error) {
			return removeRecord(ctx, a, in.Ref, findSink)
		})
	handle(a, api.TestSink,
		func(ctx context.Context, in *api.ByRef) (api.Nothing, error) {
			return a.withSink(in.Ref, func(r sinks.Sink) error { return a.Outside.TestSink(ctx, r) })
		})
	handle(a, api.ListDeadLetters,
		func(ctx context.Context, in *api.ByRef) (api.List[api.DeadLetter], error) {
			return a.listDead(ctx, in.Ref)
		})
	handle(a, api.RetryDeadLetter,
		func(ctx context.Context, in *api.DeadRef) (api.Nothing, error) {
			return a.withSink(in.Ref,
				func(r sinks.Sink) error { return a.Outside.RetryDeadLetter(ctx, r.ID, in.Seq) })
		})
}

// withSink calls f with a sink of the running gateway. An error of f comes from somebody else's
// server, or tells of it.
func (a *server) withSink(ref string, f func(sinks.Sink) error) (none api.Nothing, err error) {
	if a.Outside == nil {
		return none, route.ErrNoGateway
	}
	r, err := findSink(a.Store.Snapshot(), ref)
	if err != nil {
		return none, err
	}
	return none, route.WrapOutside(r.Name, f(r))
}

func findSink(p *access.Policy, ref string) (sinks.Sink, error) {
	return route.Find("sink", ref, sinks.Kind.In(p),
		func(name string) (sinks.Sink, bool) { return sinks.Kind.ByName(p, name) })
}

func (a *server) addSink(ctx context.Context, in api.NewSink) (api.Sink, error) {
	r := sinks.Sink{ID: access.NewID(), Name: in.Name, Protocol: in.Protocol, Place: in.Place, Declare: in.Declare,
		Only: in.Only, IDsOnly: in.IDsOnly, Created: a.makeStamp()}
	var err error
	if r.Endpoint, err = servers.NewEndpoint(in.Endpoint); err != nil {
		return api.Sink{}, err
	}
	head, _ := a.Store.Head()
	switch in.From {
	case "", "now":
		r.From = head + 1
	case "start":
		r.From = 1
	default:
		if r.From, err = strconv.ParseUint(in.From, 10, 64); err != nil || r.From == 0 || r.From > head+1 {
			return api.Sink{}, fmt.Errorf("from: %w: want now, start, or the number of an event up to %d",
				access.ErrInvalid, head+1)
		}
	}
	secret, made, err := servers.NewSecret(in.Protocol, cmp.Or(in.Secret, "new"))
	if err != nil {
		return api.Sink{}, err
	}
	if !secret.IsZero() {
		r.Secrets = []keys.Hidden{secret}
	}
	v, err := putRecord(ctx, a, func(*access.Policy) (sinks.Sink, error) { return r, nil }, a.viewSink(ctx))
	v.Secret = made
	return v, err
}

func (a *server) changeSink(ctx context.Context, ref string, in api.SinkChange) (api.Sink, error) {
	made := ""
	v, err := putRecord(ctx, a, func(p *access.Policy) (sinks.Sink, error) {
		r, err := findSink(p, ref)
		if err != nil {
			return r, err
		}
		if in.Paused != nil {
			r.Paused = reasonOfPause(ctx, *in.Paused)
		}
		if in.Endpoint != nil {
			if r.Endpoint, err = servers.NewEndpoint(*in.Endpoint); err != nil {
				return r, err
			}
		}
		if in.Secret != "" {
			var secret keys.Hidden
			if secret, made, err = servers.NewSecret(r.Protocol, in.Secret); err != nil || secret.IsZero() {
				return r, cmp.Or(err, fmt.Errorf("only a webhook has a secret: %w", access.ErrInvalid))
			}
			r.Secrets = append([]keys.Hidden{secret}, r.Secrets[:min(1, len(r.Secrets))]...)
		}
		if in.DropSecret {
			r.Secrets = r.Secrets[:min(1, len(r.Secrets))]
		}
		return r, nil
	}, a.viewSink(ctx))
	v.Secret = made
	return v, err
}

// reasonOfPause says by whom something was paused; empty: it is resumed.
func reasonOfPause(ctx context.Context, paused bool) string {
	if !paused {
		return ""
	}
	return "paused by " + actorOf(ctx)
}

func (a *server) listDead(ctx context.Context, ref string) (out api.List[api.DeadLetter], err error) {
	r, err := findSink(a.Store.Snapshot(), ref)
	if err != nil {
		return out, err
	}
	dead, err := a.Store.DeadLetters(ctx, r.ID, maxDeadShown)
	out.Items = make([]api.DeadLetter, 0, len(dead))
	for _, d := range dead {
		out.Items = append(out.Items, api.DeadLetter(d))
	}
	return out, err
}

// viewSink returns the function that draws a sink, with what the running gateway knows of it.
func (a *server) viewSink(ctx context.Context) func(*access.Policy, sinks.Sink) api.Sink {
	return func(_ *access.Policy, r sinks.Sink) api.Sink {
		v := api.ViewSink(r)
		if a.Outside != nil {
			if s, ok := a.Outside.SinkStatus(ctx, r.ID); ok {
				v.Status = &s
			}
		}
		return v
	}
}
