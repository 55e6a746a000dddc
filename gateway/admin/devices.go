package admin

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"latchkey/gateway/access"
	"latchkey/keys"
	"latchkey/keys/provision"
)

// Device is what is enrolled, in an answer.
type Device struct {
	ID      access.ID     `json:"id"`
	Name    string        `json:"name"`
	Kind    string        `json:"kind" doc:"reader, switch, lock, lamp or sensor"`
	Targets []Ref         `json:"targets,omitempty"`
	Keys    []Key         `json:"keys" doc:"oldest first"`
	Live    *DeviceStatus `json:"live,omitempty" doc:"only from a running gateway that has heard of the device"`
	Created time.Time     `json:"created"`
}

// Key is one of a device's secrets, without the secret.
type Key struct {
	ID       keys.ID   `json:"id" doc:"the PSK identity"`
	State    string    `json:"state" doc:"pending, active, retiring or revoked"`
	Created  time.Time `json:"created"`
	LastUsed time.Time `json:"lastUsed,omitzero" doc:"last completed handshake, to the day"`
	LastSeen time.Time `json:"lastSeen,omitzero" doc:"the same to the second, only from a running gateway and since its start"`
}

// NewDevice asks for a device.
type NewDevice struct {
	Name    string   `json:"name" doc:"1 to 64 of a-z 0-9 . _ -"`
	Kind    string   `json:"kind" enum:"reader,switch,lock,lamp,sensor"`
	Targets []string `json:"targets,omitempty" doc:"names or ids of what it stands at, moves or may ask for"`
	Gateway string   `json:"gateway,omitempty" doc:"host:port that the device will call, if not the gateway's own"`
}

// Enrolled is a new device with all that goes into it. The secret is in this one answer and in no
// other.
type Enrolled struct {
	Device
	Bundle Bundle `json:"bundle"`
}

// Bundle is [provision.Bundle] with its secret in the clear.
type Bundle struct {
	Device   string    `json:"device"`
	Kind     keys.Kind `json:"kind"`
	Targets  []string  `json:"targets"`
	Gateway  string    `json:"gateway"`
	Identity keys.ID   `json:"identity"`
	Secret   string    `json:"secret"`
}

// NewKey asks for another key of a device.
type NewKey struct {
	Gateway string `json:"gateway,omitempty" doc:"host:port that the device will call, if not the gateway's own"`
}

// KeyInput names a key in the path.
type KeyInput struct {
	Key string `path:"key" doc:"identity"`
}

func (a *api) deviceRoutes() {
	handle(a, toLook, http.MethodGet, "/v1/devices", "list-devices", "All devices, by name",
		func(context.Context, *struct{}) (*body[list[Device]], error) {
			p := a.Store.Snapshot()
			return listOf(viewAll(p, p.Devices, a.viewDevices(), func(v Device) string { return v.Name })),
				nil
		})
	handle(a, toManage, http.MethodPost, "/v1/devices", "add-device",
		"Enrol a device: the answer holds its secret, once",
		func(ctx context.Context, in *struct{ Body NewDevice }) (*body[Enrolled], error) {
			return answer(a.enrol(ctx, in.Body))
		})
	handle(a, toLook, http.MethodGet, "/v1/devices/{ref}", "get-device", "One device with its keys",
		func(_ context.Context, in *RefInput) (*body[Device], error) {
			return show(a, in.Ref, findDevice, a.viewDevices())
		})
	handle(a, toManage, http.MethodDelete, "/v1/devices/{ref}", "remove-device",
		"Remove a device with its keys and grants",
		func(ctx context.Context, in *RefInput) (*body[Changed], error) {
			return remove(ctx, a, func(p *access.Policy) (access.Device, error) {
				return findDevice(p,
					in.Ref)
			})
		})
	handle(a, toManage, http.MethodPost, "/v1/devices/{ref}/keys", "rekey-device",
		"Mint another key for a device: the answer holds its secret, once. The older keys work until the new one is first used",
		func(ctx context.Context, in *struct {
			RefInput
			Body NewKey
		}) (*body[Enrolled], error) {
			return answer(a.rekey(ctx, in.Ref, in.Body))
		})
	handle(a, toManage, http.MethodPost, "/v1/devices/{ref}/revoke", "revoke-device",
		"Revoke every key of a device: its session ends and it cannot come back",
		func(ctx context.Context, in *RefInput) (*body[Changed], error) {
			return answer(a.change(ctx, func(p *access.Policy) ([]access.Change, error) {
				d, err := findDevice(p, in.Ref)
				return revocations(p.KeysOf(d.ID)), err
			}))
		})
	handle(a, toManage, http.MethodPost, "/v1/keys/{key}/revoke", "revoke-key", "Revoke one key",
		func(ctx context.Context, in *KeyInput) (*body[Changed], error) {
			return answer(a.change(ctx, func(p *access.Policy) ([]access.Change, error) {
				k, ok := p.Keys[keys.ID(in.Key)]
				if !ok {
					return nil, missing("key", in.Key)
				}
				return revocations([]keys.Key{k}), nil
			}))
		})
}

// enrol puts the device and its first key in one change, after making sure that the two fit into a
// bundle: a secret that could not be shown would be lost.
func (a *api) enrol(ctx context.Context, in NewDevice) (Enrolled, error) {
	kind := keys.Kind(in.Kind)
	d := access.Device{ID: access.NewID(), Name: in.Name, Kind: kind, Created: a.stamp()}
	key := provision.New(d.ID)
	b, err := a.bundle(d, key, in.Gateway)
	if err != nil {
		return Enrolled{}, err
	}
	_, err = a.change(ctx, func(p *access.Policy) ([]access.Change, error) {
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
		return changes, invalid(b.Check())
	})
	if err != nil {
		return Enrolled{}, err
	}
	return a.enrolled(d, b), nil
}

// rekey puts a new key beside the older ones, which retire.
func (a *api) rekey(ctx context.Context, ref string, in NewKey) (Enrolled, error) {
	var d access.Device
	var b provision.Bundle
	_, err := a.change(ctx, func(p *access.Policy) (changes []access.Change, err error) {
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
		return changes, invalid(b.Check())
	})
	if err != nil {
		return Enrolled{}, err
	}
	return a.enrolled(d, b), nil
}

// bundle is what goes into a device, but for its targets.
func (a *api) bundle(d access.Device, k keys.Key, gateway string) (provision.Bundle, error) {
	switch n := len(a.GatewayAddrs); {
	case gateway != "":
	case n == 1:
		gateway = a.GatewayAddrs[0]
	case n == 0:
		return provision.Bundle{}, fmt.Errorf("gateway: %w: say where the device finds it (on the command line: --gateway HOST:PORT)", access.ErrInvalid)
	default:
		return provision.Bundle{}, fmt.Errorf("gateway: %w: this machine has several addresses (%s): say which of them the device can reach (on the command line: --gateway HOST:PORT)",
			access.ErrInvalid, strings.Join(a.GatewayAddrs, ", "))
	}
	return provision.Bundle{Device: d.Name, Kind: d.Kind, Gateway: gateway, Identity: k.ID, Secret: k.Secret},
		nil
}

// enrolled is the one answer with a secret.
func (a *api) enrolled(d access.Device, b provision.Bundle) Enrolled {
	return Enrolled{
		Device: a.viewDevices()(a.Store.Snapshot(), d),
		Bundle: Bundle{Device: b.Device, Kind: b.Kind, Targets: append([]string{}, b.Targets...),
			Gateway: b.Gateway, Identity: b.Identity,
			Secret: b.Secret.Reveal()},
	}
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
func (a *api) viewDevices() func(*access.Policy, access.Device) Device {
	live := map[access.ID]*DeviceStatus{}
	var completed map[keys.ID]time.Time
	if a.Live != nil {
		completed = a.Live.Handshakes().Completed
		for _, s := range a.Live.Status() {
			live[s.Device] = &s
		}
	}
	return func(p *access.Policy, d access.Device) Device {
		v := Device{ID: d.ID, Name: d.Name, Kind: string(d.Kind), Targets: refs(p, d.Targets, targetRef),
			Keys: []Key{}, Live: live[d.ID],
			Created: d.Created}
		for _, k := range p.KeysOf(d.ID) {
			v.Keys = append(v.Keys, Key{ID: k.ID, State: string(k.State), Created: k.Created,
				LastUsed: k.LastUsed, LastSeen: completed[k.ID]})
		}
		return v
	}
}
