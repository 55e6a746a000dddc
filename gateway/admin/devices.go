package admin

import (
	"context"
	"fmt"
	"strings"
	"time"

	"latchkey/gateway/access"
	"latchkey/gateway/admin/api"
	"latchkey/gateway/admin/route"
	"latchkey/keys"
	"latchkey/keys/provision"
)

func (a *server) addDeviceRoutes() {
	handle(a, api.ListDevices,
		func(_ context.Context, in *api.ListQuery) (api.List[api.Device], error) {
			p := a.Store.Snapshot()
			return listRecords(a, p, p.Devices, catalog[access.Device, api.Device]{draw: a.viewDevices(),
				key:  func(v api.Device) string { return v.Name },
				text: func(v api.Device) []string { return append(namesOf(v.Targets), v.Name) }}, *in)
		})
	handle(a, api.AddDevice,
		func(ctx context.Context, in *api.Body[api.NewDevice]) (api.Enrolled, error) {
			return a.enrol(ctx, in.Body)
		})
	handle(a, api.GetDevice,
		func(_ context.Context, in *api.ByRef) (api.Device, error) {
			return showRecord(a, in.Ref, findDevice, a.viewDevices())
		})
	handle(a, api.RemoveDevice,
		func(ctx context.Context, in *api.ByRef) (api.Changed, error) {
			return removeRecord(ctx, a, in.Ref, findDevice)
		})
	handle(a, api.RekeyDevice,
		func(ctx context.Context, in *api.RefBody[api.NewKey]) (api.Enrolled, error) {
			return a.rekey(ctx, in.Ref, in.Body)
		})
	handle(a, api.RevokeDevice,
		func(ctx context.Context, in *api.ByRef) (api.Changed, error) {
			return a.makeChange(ctx, func(p *access.Policy) ([]access.Change, error) {
				d, err := findDevice(p, in.Ref)
				return revocations(p.KeysOf(d.ID)), err
			})
		})
	handle(a, api.RevokeKey,
		func(ctx context.Context, in *api.KeyInput) (api.Changed, error) {
			return a.makeChange(ctx, func(p *access.Policy) ([]access.Change, error) {
				k, ok := p.Keys[keys.ID(in.Key)]
				if !ok {
					return nil, route.Missing("key", in.Key)
				}
				return revocations([]keys.Key{k}), nil
			})
		})
}

// enrol puts the device and its first key in one change, after making sure that the two fit into a
// bundle: a secret that could not be shown would be lost.
func (a *server) enrol(ctx context.Context, in api.NewDevice) (api.Enrolled, error) {
	kind := keys.Kind(in.Kind)
	d := access.Device{ID: access.NewID(), Name: in.Name, Kind: kind, Created: a.makeStamp()}
	key := provision.New(d.ID)
	b, err := a.bundle(d, key, in.Gateway)
	if err != nil {
		return api.Enrolled{}, err
	}
	_, err = a.makeChange(ctx, func(p *access.Policy) ([]access.Change, error) {
		for _, ref := range in.Targets {
			t, err := findTarget(p, ref)
			if err != nil {
				return nil, err
			}
			d.Targets = append(d.Targets, t.ID)
			b.Targets = append(b.Targets, t.Name)
		}
		changes := []access.Change{{Put: d}, {Put: key}}
		if _, err := p.With(changes...); err != nil {
			return nil, err // says more than the bundle's check
		}
		return changes, route.MarkInvalid(b.Check())
	})
	if err != nil {
		return api.Enrolled{}, err
	}
	return a.enrolled(d, b)
}

// rekey puts a new key beside the older ones, which retire.
func (a *server) rekey(ctx context.Context, ref string, in api.NewKey) (api.Enrolled, error) {
	var d access.Device
	var b provision.Bundle
	_, err := a.makeChange(ctx, func(p *access.Policy) (changes []access.Change, err error) {
		if d, err = findDevice(p, ref); err != nil {
			return nil, err
		}
		fresh, older := provision.Rotate(d.ID, p.KeysOf(d.ID))
		for _, k := range append(older, fresh) {
			changes = append(changes, access.Change{Put: k})
		}
		if b, err = a.bundle(d, fresh, in.Gateway); err != nil {
			return nil, err
		}
		for _, t := range d.Targets {
			b.Targets = append(b.Targets, p.Targets[t].Name)
		}
		return changes, route.MarkInvalid(b.Check())
	})
	if err != nil {
		return api.Enrolled{}, err
	}
	return a.enrolled(d, b)
}

// bundle is what goes into a device, but for its targets.
func (a *server) bundle(d access.Device, k keys.Key, gateway string) (provision.Bundle, error) {
	switch n := len(a.GatewayAddrs); {
	case gateway != "":
	case n == 1:
		gateway = a.GatewayAddrs[0]
	case n == 0:
		return provision.Bundle{}, fmt.Errorf("gateway: %w: say where the device finds it "+
			"(on the command line: --gateway HOST:PORT)", access.ErrInvalid)
	default:
		return provision.Bundle{}, fmt.Errorf("gateway: %w: this machine has several addresses (%s): "+
			"say which of them the device can reach (on the command line: --gateway HOST:PORT)",
			access.ErrInvalid, strings.Join(a.GatewayAddrs, ", "))
	}
	return provision.Bundle{Device: d.Name, Kind: d.Kind, Gateway: provision.AddPort(gateway), Identity: k.ID,
		Secret: k.Secret}, nil
}

// enrolled is the one answer with a secret.
func (a *server) enrolled(d access.Device, b provision.Bundle) (api.Enrolled, error) {
	shown, err := viewRecord(a, a.Store.Snapshot(), d, a.viewDevices())
	return api.Enrolled{Device: shown,
		Bundle: api.Bundle{Device: b.Device, Kind: b.Kind, Targets: append([]string{}, b.Targets...),
			Gateway: b.Gateway, Identity: b.Identity,
			Secret: b.Secret.Reveal()},
	}, err
}

func revocations(of []keys.Key) (changes []access.Change) {
	for _, k := range of {
		if k.State != keys.Revoked {
			changes = append(changes, access.Change{Put: provision.Revoke(k)})
		}
	}
	return changes
}

// viewDevices returns the view of a device, with what the gateway knows of it at this moment.
func (a *server) viewDevices() func(*access.Policy, access.Device) api.Device {
	live := map[access.ID]*api.DeviceStatus{}
	var completed map[keys.ID]time.Time
	if a.Live != nil {
		completed = a.Live.Handshakes().Completed
		for _, s := range a.Live.Status() {
			live[s.Device] = &s
		}
	}
	return func(p *access.Policy, d access.Device) api.Device {
		v := api.Device{ID: d.ID, Name: d.Name, Kind: string(d.Kind),
			Targets: makeRefs(p, d.Targets, targetRef), Keys: []api.Key{}, Live: live[d.ID],
			Created: d.Created}
		for _, k := range p.KeysOf(d.ID) {
			v.Keys = append(v.Keys, api.Key{ID: k.ID, State: string(k.State), Created: k.Created,
				LastUsed: k.LastUsed, LastSeen: completed[k.ID]})
		}
		return v
	}
}
