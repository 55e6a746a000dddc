package access

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"latchkey/keys"
)

// With returns the policy with the changes made; p stays as it is. The changes apply in order as one atomic step, and references and
// names are checked at the end, so one call may put a person and their grant in any order, or swap two names. The new policy holds the
// records normalised (members and actions sorted, schedule text canonical, times in UTC): read them back with [Policy.Get].
//
// Errors wrap [ErrInvalid], [ErrConflict], [ErrNotFound] or [ErrInUse] and say what to do.
func (p *Policy) With(changes ...Change) (*Policy, error) {
	d := newDraft(p)
	for _, c := range changes {
		if err := d.apply(c); err != nil {
			return nil, err
		}
	}
	if err := d.check(); err != nil {
		return nil, err
	}
	if err := d.index(); err != nil {
		return nil, err
	}
	next := d.next
	return &next, nil
}

// draft is a policy in the making. It shares every map with its base until the first write to it.
type draft struct {
	base *Policy
	next Policy

	persons     edit[ID, Person]
	credentials edit[CredentialID, Credential]
	targets     edit[ID, Target]
	devices     edit[ID, Device]
	keys        edit[keys.ID, keys.Key]
	groups      edit[ID, Group]
	schedules   edit[ID, Schedule]
	grants      edit[ID, *Grant]
	accounts    edit[ID, Account]
}

func newDraft(p *Policy) *draft {
	d := &draft{base: p, next: *p}
	d.persons = edit[ID, Person]{base: p.Persons, now: &d.next.Persons}
	d.credentials = edit[CredentialID, Credential]{base: p.Credentials, now: &d.next.Credentials}
	d.targets = edit[ID, Target]{base: p.Targets, now: &d.next.Targets}
	d.devices = edit[ID, Device]{base: p.Devices, now: &d.next.Devices}
	d.keys = edit[keys.ID, keys.Key]{base: p.Keys, now: &d.next.Keys}
	d.groups = edit[ID, Group]{base: p.Groups, now: &d.next.Groups}
	d.schedules = edit[ID, Schedule]{base: p.Schedules, now: &d.next.Schedules}
	d.grants = edit[ID, *Grant]{base: p.Grants, now: &d.next.Grants}
	d.accounts = edit[ID, Account]{base: p.Accounts, now: &d.next.Accounts}
	return d
}

// edit is one map of a draft.
type edit[K comparable, V any] struct {
	base    map[K]V
	now     *map[K]V
	seen    map[K]bool
	touched []K // each id once, in the order of the changes
}

func (e *edit[K, V]) touch(id K) {
	if e.seen == nil {
		e.seen = map[K]bool{}
		*e.now = maps.Clone(e.base)
	}
	if !e.seen[id] {
		e.seen[id] = true
		e.touched = append(e.touched, id)
	}
}

func (e *edit[K, V]) put(id K, v V) {
	e.touch(id)
	(*e.now)[id] = v
}

func (e *edit[K, V]) delete(id K) bool {
	if _, ok := (*e.now)[id]; !ok {
		return false
	}
	e.touch(id)
	delete(*e.now, id)
	return true
}

func (d *draft) apply(c Change) error {
	switch {
	case c.Put != nil && c.Delete == nil:
		return d.put(c.Put)
	case c.Delete != nil && c.Put == nil:
		return d.delete(c.Delete)
	}
	return fmt.Errorf("access: change: %w: set exactly one of Put and Delete", ErrInvalid)
}

func (d *draft) put(r Record) error {
	switch r := r.(type) {
	case Site:
		return d.putSite(r)
	case Person:
		r.Created = normalTime(r.Created)
		d.persons.put(r.ID, r)
	case Credential:
		r.From, r.Until, r.Created = normalTime(r.From), normalTime(r.Until), normalTime(r.Created)
		d.credentials.put(r.ID, r)
	case Target:
		r.Created = normalTime(r.Created)
		d.targets.put(r.ID, r)
	case Device:
		r.Targets = slices.Clone(r.Targets)
		r.Created = normalTime(r.Created)
		d.devices.put(r.ID, r)
	case keys.Key:
		return d.putKey(r)
	case Group:
		r.Members = normalList(r.Members)
		r.Created = normalTime(r.Created)
		d.groups.put(r.ID, r)
	case Schedule:
		w, err := parseSchedule(r.Text)
		if err != nil {
			return fmt.Errorf("access: %s: %w", d.label(r), err)
		}
		r.Text = w.String()
		r.Created = normalTime(r.Created)
		d.schedules.put(r.ID, r)
	case Grant:
		r.Actions = normalList(r.Actions)
		r.From, r.Until, r.Created = normalTime(r.From), normalTime(r.Until), normalTime(r.Created)
		d.grants.put(r.ID, &r)
	case Account:
		d.accounts.put(r.ID, r.normal())
	default:
		return fmt.Errorf("access: put: %w: %T is not a record by value", ErrInvalid, r)
	}
	return nil
}

func (d *draft) putSite(s Site) error {
	// "" and "Local" would load, as UTC and as whatever the machine is set to: a door must not depend on either by accident.
	zone, err := time.LoadLocation(s.Zone)
	if err != nil || s.Zone == "" || s.Zone == "Local" {
		return fmt.Errorf("access: site: %w: no time zone %q: want a name like Europe/Berlin or UTC", ErrInvalid, s.Zone)
	}
	d.next.Site, d.next.zone = s, zone
	return nil
}

func (d *draft) delete(r Record) error {
	var ok bool
	switch r := r.(type) {
	case Site:
		return fmt.Errorf("access: site: %w: the site cannot be deleted: put another", ErrInvalid)
	case Person:
		ok = d.persons.delete(r.ID)
	case Credential:
		ok = d.credentials.delete(r.ID)
	case Target:
		ok = d.targets.delete(r.ID)
	case Device:
		ok = d.devices.delete(r.ID)
	case keys.Key:
		ok = d.keys.delete(r.ID)
	case Group:
		ok = d.groups.delete(r.ID)
	case Schedule:
		ok = d.schedules.delete(r.ID)
	case Grant:
		ok = d.grants.delete(r.ID)
	case Account:
		ok = d.accounts.delete(r.ID)
	default:
		return fmt.Errorf("access: delete: %w: %T is not a record by value", ErrInvalid, r)
	}
	if !ok {
		return fmt.Errorf("access: delete %s: %w", d.label(r), ErrNotFound)
	}
	return nil
}

// stateOrder is how far a key is in its life; an unknown state is 0.
var stateOrder = map[keys.State]int{keys.Pending: 1, keys.Active: 2, keys.Retiring: 3, keys.Revoked: 4}

// putKey compares with the step before and with the base, so that deleting and putting again in one change revives nothing. A key
// that is revoked may lose its secret: nothing needs it any more.
func (d *draft) putKey(k keys.Key) error {
	for _, m := range []map[keys.ID]keys.Key{d.next.Keys, d.base.Keys} {
		old, ok := m[k.ID]
		switch {
		case !ok:
		case stateOrder[k.State] < stateOrder[old.State]:
			return fmt.Errorf("access: %s: %w: it is %s and cannot become %s again: mint a new key", d.label(k), ErrInvalid, old.State, k.State)
		case k.Device != old.Device || !k.Secret.Equal(old.Secret) && !(k.State == keys.Revoked && k.Secret.IsZero()):
			return fmt.Errorf("access: %s: %w: a key keeps its device and its secret: mint a new key", d.label(k), ErrInvalid)
		}
	}
	k.Created, k.LastUsed = normalTime(k.Created), normalTime(k.LastUsed)
	d.keys.put(k.ID, k)
	return nil
}

// normalTime drops the monotonic reading and the zone, so that a record compares equal to its stored copy.
func normalTime(t time.Time) time.Time { return t.Round(0).UTC() }

func normalList[E ~string | ~uint8](s []E) []E {
	if len(s) == 0 {
		return nil
	}
	s = slices.Clone(s)
	slices.Sort(s)
	return slices.Compact(s)
}
