package admin

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"latchkey/gateway/access"
)

// Target is a door or a lamp in an answer.
type Target struct {
	ID       access.ID `json:"id"`
	Name     string    `json:"name"`
	Kind     string    `json:"kind" doc:"door or lamp"`
	Pulse    string    `json:"pulse,omitempty" doc:"how long an unlock lasts, like 3s; doors only"`
	Actuator Ref       `json:"actuator,omitzero" doc:"the lock or lamp device that moves it"`
	Created  time.Time `json:"created"`

	State    *DoorState `json:"state,omitempty" doc:"what it is now; doors only, from a running gateway"`
	MaxPulse string     `json:"maxPulse,omitempty" doc:"how long its lock holds an unlock at the most, whatever the pulse, as the lock says; left out while it has not said so"`
}

// NewTarget asks for a target.
type NewTarget struct {
	Name  string `json:"name" doc:"1 to 64 of a-z 0-9 . _ -"`
	Kind  string `json:"kind" enum:"door,lamp"`
	Pulse string `json:"pulse,omitempty" doc:"like 3s or 500ms; doors only, 3s if left out" example:"3s"`
}

// TargetChange changes what is there.
type TargetChange struct {
	Name  string `json:"name,omitempty"`
	Pulse string `json:"pulse,omitempty"`
}

const defaultPulse = 3 * time.Second

// RefInput names a record in the path.
type RefInput struct {
	Ref string `path:"ref" doc:"name or id"`
}

func (a *api) targetRoutes() {
	handle(a, toLook, http.MethodGet, "/v1/targets", "list-targets", "All doors and lamps, by name",
		func(context.Context, *struct{}) (*body[list[Target]], error) {
			p := a.Store.Snapshot()
			return listOf(viewAll(p, p.Targets, a.viewTargets(), func(t Target) string { return t.Name })),
				nil
		})
	handle(a, toManage, http.MethodPost, "/v1/targets", "add-target", "Add a door or a lamp",
		func(ctx context.Context, in *struct{ Body NewTarget }) (*body[Target], error) {
			return put(ctx, a, func(*access.Policy) (access.Target, error) { return a.newTarget(in.Body) },
				a.viewTargets())
		})
	handle(a, toLook, http.MethodGet, "/v1/targets/{ref}", "get-target", "One door or lamp",
		func(_ context.Context, in *RefInput) (*body[Target], error) {
			return show(a, in.Ref, findTarget, a.viewTargets())
		})
	handle(a, toManage, http.MethodPatch, "/v1/targets/{ref}", "change-target",
		"Rename a target or change its pulse",
		func(ctx context.Context, in *struct {
			RefInput
			Body TargetChange
		}) (*body[Target], error) {
			return put(ctx, a, func(p *access.Policy) (access.Target, error) {
				t, err := findTarget(p, in.Ref)
				if err != nil {
					return t, err
				}
				if in.Body.Name != "" {
					t.Name = in.Body.Name
				}
				if in.Body.Pulse != "" {
					if t.Pulse, err = parsePulse(in.Body.Pulse); err == nil {
						err = a.checkPulse(p, t)
					}
				}
				return t, err
			}, a.viewTargets())
		})
	handle(a, toManage, http.MethodDelete, "/v1/targets/{ref}", "remove-target",
		"Remove a target with its grants",
		func(ctx context.Context, in *RefInput) (*body[Changed], error) {
			return remove(ctx, a, func(p *access.Policy) (access.Target, error) {
				return findTarget(p,
					in.Ref)
			})
		})
}

func (a *api) newTarget(in NewTarget) (access.Target, error) {
	t := access.Target{ID: access.NewID(), Name: in.Name, Kind: access.TargetKind(in.Kind),
		Created: a.stamp()}
	if t.Kind == access.Door && in.Pulse == "" {
		t.Pulse = defaultPulse
	}
	if in.Pulse == "" {
		return t, nil
	}
	var err error
	t.Pulse, err = parsePulse(in.Pulse)
	return t, err
}

func parsePulse(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if err != nil {
		return 0, fmt.Errorf("pulse %q: %w: want a length of time like 3s or 500ms", access.Shorten(s),
			access.ErrInvalid)
	}
	return d, nil
}

// checkPulse refuses a pulse that is longer than the door's lock says that it holds.
func (a *api) checkPulse(p *access.Policy, t access.Target) error {
	lock, ok := p.Actuator(t.ID)
	if a.Live == nil || !ok {
		return nil
	}
	if limit := a.Live.Door(t.ID).MaxPulse; limit > 0 && t.Pulse > limit {
		return fmt.Errorf("pulse %v: %w: the lock %s holds %v at the most", t.Pulse, access.ErrInvalid,
			lock.Name, limit)
	}
	return nil
}

func viewTarget(p *access.Policy, t access.Target) Target {
	v := Target{ID: t.ID, Name: t.Name, Kind: string(t.Kind), Created: t.Created}
	if t.Pulse != 0 {
		v.Pulse = t.Pulse.String()
	}
	if d, ok := p.Actuator(t.ID); ok {
		v.Actuator = deviceRef(p, d.ID)
	}
	return v
}

// viewAll returns the records of one kind as they are shown, ordered by key and then by id.
func viewAll[K comparable, R, V any](p *access.Policy, records map[K]R, view func(*access.Policy, R) V,
	key func(V) string) []V {
	out := make([]V, 0, len(records))
	for _, r := range records {
		out = append(out, view(p, r))
	}
	slices.SortFunc(out, func(x, y V) int { return strings.Compare(key(x), key(y)) })
	return out
}

// show answers with one record.
func show[R, V any](a *api, ref string, find func(*access.Policy, string) (R, error),
	view func(*access.Policy, R) V) (*body[V], error) {
	p := a.Store.Snapshot()
	r, err := find(p, ref)
	if err != nil {
		return nil, err
	}
	return answer(view(p, r), nil)
}
