package access

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"latchkey/coapres/wire"
	"latchkey/keys"
)

// Bounds of a door's pulse.
const (
	MinPulse = 200 * time.Millisecond
	MaxPulse = 60 * time.Second
)

const maxName = 64

// check looks at each record that was put, and at each that refers to something which went away or changed its kind.
func (d *draft) check() error {
	lost := map[ID]bool{}
	lose(lost, &d.persons, func(_, _ Person) bool { return false })
	lose(lost, &d.targets, func(a, b Target) bool { return a.Kind != b.Kind })
	lose(lost, &d.devices, func(a, b Device) bool { return a.Kind != b.Kind })
	lose(lost, &d.groups, func(a, b Group) bool { return a.Of != b.Of })
	lose(lost, &d.schedules, func(_, _ Schedule) bool { return false })
	members := func(ids []ID) bool { return slices.ContainsFunc(ids, func(id ID) bool { return lost[id] }) }
	return cmp.Or(
		verify(&d.persons, nil, nil, cmp.Compare[ID], d.checkPerson),
		verify(&d.targets, nil, nil, cmp.Compare[ID], d.checkTarget),
		verify(&d.schedules, nil, nil, cmp.Compare[ID], d.checkSchedule),
		verify(&d.credentials, lost, func(r Credential) bool { return lost[r.Person] }, compareCredentials, d.checkCredential),
		verify(&d.groups, lost, func(r Group) bool { return members(r.Members) }, cmp.Compare[ID], d.checkGroup),
		verify(&d.devices, lost, func(r Device) bool { return members(r.Targets) }, cmp.Compare[ID], d.checkDevice),
		verify(&d.keys, lost, func(r keys.Key) bool { return lost[ID(r.Device)] }, cmp.Compare[keys.ID], d.checkKey),
		verify(&d.grants, nil, nil, cmp.Compare[ID], d.checkGrant),
		verify(&d.accounts, nil, nil, cmp.Compare[ID], d.checkAccount),
		d.checkOwner(),
		d.checkGrantsOn(lost),
		d.checkDeletedKeys(),
	)
}

// lose collects the ids whose record is gone, or changed so that what refers to it may no longer fit.
func lose[V any](lost map[ID]bool, e *edit[ID, V], unfit func(before, after V) bool) {
	for _, id := range e.touched {
		before, was := e.base[id]
		after, is := (*e.now)[id]
		if was && (!is || unfit(before, after)) {
			lost[id] = true
		}
	}
}

// verify checks the touched records and, if anything was lost, those that refer to it. Among several errors of those it returns that of
// the smallest id, so that the same change is always refused with the same words.
func verify[K comparable, V any](e *edit[K, V], lost map[ID]bool, refers func(V) bool, order func(a, b K) int, check func(V) error) error {
	for _, id := range e.touched {
		if r, is := (*e.now)[id]; is {
			if err := check(r); err != nil {
				return err
			}
		}
	}
	if len(lost) == 0 {
		return nil
	}
	var first K
	var firstErr error
	for id, r := range *e.now {
		if !refers(r) || firstErr != nil && order(id, first) > 0 {
			continue
		}
		if err := check(r); err != nil {
			first, firstErr = id, err
		}
	}
	return firstErr
}

// checkGrantsOn checks the grants that refer to what was lost, by id. There may be very many grants, so for a few ids it asks the index.
func (d *draft) checkGrantsOn(lost map[ID]bool) error {
	scan := len(lost) > 16 || slices.ContainsFunc(d.schedules.touched, func(id ID) bool { return lost[id] })
	var found []*Grant
	if scan {
		for _, g := range d.base.Grants {
			if lost[g.Subject] || lost[g.place()] || lost[g.Schedule] {
				found = append(found, g)
			}
		}
	} else {
		for id := range lost {
			found = append(append(found, d.base.grantsOf(id)...), d.base.grantsAt[id]...)
		}
	}
	slices.SortFunc(found, func(a, b *Grant) int { return cmp.Compare(a.ID, b.ID) })
	for _, g := range found {
		if d.next.Grants[g.ID] != g {
			continue // deleted, or put again and checked as such
		}
		if err := d.checkGrant(g); err != nil {
			return err
		}
	}
	return nil
}

func (d *draft) invalid(r Record, format string, args ...any) error {
	return fmt.Errorf("access: %s: %w: %s", d.label(r), ErrInvalid, fmt.Sprintf(format, args...))
}

// dangling explains a reference of r that leads nowhere: to something that this change would take away, or that never was.
func (d *draft) dangling(r, to Record) error {
	if _, was := d.base.Get(to); was {
		return fmt.Errorf("access: delete %s: %w: %s refers to it: delete or change that first", d.label(to), ErrInUse, d.label(r))
	}
	return fmt.Errorf("access: %s: %w: it refers to %s, which does not exist: put that first", d.label(r), ErrNotFound, d.label(to))
}

func (d *draft) checkID(r Record, id ID) error {
	if !id.Valid() {
		return d.invalid(r, "the id is not 10 characters of lower-case Crockford base32: use NewID")
	}
	return nil
}

// checkHandle checks a name that stands in URLs and on command lines.
func (d *draft) checkHandle(r Record, name string) error {
	if len(name) < 1 || len(name) > maxName {
		return d.invalid(r, "the name has %d bytes: want 1 to %d", len(name), maxName)
	}
	for i := range len(name) {
		c := name[i]
		plain := c >= 'a' && c <= 'z' || c >= '0' && c <= '9'
		if !plain && (i == 0 || !strings.ContainsRune("._-", rune(c))) {
			return d.invalid(r, "want a name of a-z 0-9 . _ - that starts with a letter or a digit")
		}
	}
	return nil
}

func (d *draft) checkPerson(r Person) error {
	switch {
	case len(r.Name) < 1 || len(r.Name) > maxName:
		return d.invalid(r, "the name has %d bytes: want 1 to %d", len(r.Name), maxName)
	case !printable(r.Name):
		return d.invalid(r, "want a name of printable characters, without spaces at its ends")
	}
	return d.checkID(r, r.ID)
}

// printable admits spaces inside, and no control or invisible formatting characters, which would let two names look alike.
func printable(s string) bool {
	return utf8.ValidString(s) && strings.TrimSpace(s) == s && strings.IndexFunc(s, func(c rune) bool { return !unicode.IsPrint(c) }) < 0
}

func (d *draft) checkTarget(r Target) error {
	switch r.Kind {
	case Door:
		if r.Pulse < MinPulse || r.Pulse > MaxPulse {
			return d.invalid(r, "pulse %v: want %v to %v", r.Pulse, MinPulse, MaxPulse)
		}
	case Lamp:
		if r.Pulse != 0 {
			return d.invalid(r, "a lamp has no pulse: leave it out")
		}
	default:
		return d.invalid(r, "kind %q: want door or lamp", string(r.Kind))
	}
	return cmp.Or(d.checkID(r, r.ID), d.checkHandle(r, r.Name))
}

func (d *draft) checkSchedule(r Schedule) error {
	return cmp.Or(d.checkID(r, r.ID), d.checkHandle(r, r.Name)) // the text was parsed when it was put
}

func (d *draft) checkCredential(r Credential) error {
	if _, ok := d.next.Persons[r.Person]; !ok {
		return d.dangling(r, Person{ID: r.Person})
	}
	switch {
	case r.ID == CredentialID{}:
		return d.invalid(r, "the id is empty")
	case len(r.Tail) != 4 || strings.Trim(r.Tail, "0123456789abcdef") != "":
		return d.invalid(r, "the tail is not the last two bytes of the UID as 4 lower-case hex digits")
	case r.Status != CardActive && r.Status != CardLost:
		return d.invalid(r, "status %q: want active or lost", string(r.Status))
	case !validWindow(r.From, r.Until):
		return d.invalid(r, "it ends before it starts: set until after from")
	}
	return nil
}

// validWindow tells whether [from, until) holds an instant; a zero end is open.
func validWindow(from, until time.Time) bool {
	return until.IsZero() || from.Before(until)
}

func (d *draft) checkGroup(r Group) error {
	for _, m := range r.Members {
		switch r.Of {
		case OfPersons:
			if _, ok := d.next.Persons[m]; !ok {
				return d.dangling(r, Person{ID: m})
			}
		case OfTargets:
			if _, ok := d.next.Targets[m]; !ok {
				return d.dangling(r, Target{ID: m})
			}
		}
	}
	if r.Of != OfPersons && r.Of != OfTargets {
		return d.invalid(r, "of %q: want persons or targets", string(r.Of))
	}
	return cmp.Or(d.checkID(r, r.ID), d.checkHandle(r, r.Name))
}

func (d *draft) checkDevice(r Device) error {
	for i, t := range r.Targets {
		if _, ok := d.next.Targets[t]; !ok {
			return d.dangling(r, Target{ID: t})
		}
		if slices.Contains(r.Targets[:i], t) {
			return d.invalid(r, "%s is listed twice", d.label(Target{ID: t}))
		}
	}
	one := len(r.Targets) == 1
	switch r.Kind {
	case keys.KindReader:
		if !one {
			return d.invalid(r, "a reader has exactly one target, and this one has %d", len(r.Targets))
		}
	case keys.KindLock:
		if !one || d.next.Targets[r.Targets[0]].Kind != Door {
			return d.invalid(r, "a lock has exactly one target, a door")
		}
	case keys.KindLamp:
		if !one || d.next.Targets[r.Targets[0]].Kind != Lamp {
			return d.invalid(r, "a lamp device has exactly one target, a lamp")
		}
	case keys.KindSwitch:
		if len(r.Targets) == 0 {
			return d.invalid(r, "a switch has at least one target")
		}
	case keys.KindSensor:
		if len(r.Targets) > 1 {
			return d.invalid(r, "it has %d targets: a sensor has one or none", len(r.Targets))
		}
	default:
		return d.invalid(r, "kind %q: want one of %v", string(r.Kind), keys.Kinds)
	}
	return cmp.Or(d.checkID(r, r.ID), d.checkHandle(r, r.Name))
}

func (d *draft) checkKey(r keys.Key) error {
	if _, ok := d.next.Devices[ID(r.Device)]; !ok {
		return d.dangling(r, Device{ID: ID(r.Device)})
	}
	if _, err := keys.ParseID(string(r.ID)); err != nil {
		return d.invalid(r, "the id is not lk- and 10 characters of lower-case Crockford base32: use keys.NewID")
	}
	switch {
	case r.Secret.IsZero() && r.State != keys.Revoked:
		return d.invalid(r, "it has no secret")
	case stateOrder[r.State] == 0:
		return d.invalid(r, "state %q: want pending, active, retiring or revoked", string(r.State))
	}
	return nil
}

// checkDeletedKeys keeps the keys of living devices: a key that is gone could be put back as if it had never been revoked.
func (d *draft) checkDeletedKeys() error {
	for _, id := range d.keys.touched {
		k, was := d.base.Keys[id]
		if _, is := d.next.Keys[id]; !was || is {
			continue
		}
		if _, lives := d.next.Devices[ID(k.Device)]; lives {
			return fmt.Errorf("access: delete %s: %w: its device is still enrolled: revoke the key instead", d.label(k), ErrInUse)
		}
	}
	return nil
}

func (d *draft) checkGrant(g *Grant) error {
	r := *g
	if err := cmp.Or(d.checkSubject(r), d.checkPlace(r)); err != nil {
		return err
	}
	if r.Schedule != "" {
		if _, ok := d.next.Schedules[r.Schedule]; !ok {
			return d.dangling(r, Schedule{ID: r.Schedule})
		}
	}
	switch {
	case r.Effect != Allow && r.Effect != Deny:
		return d.invalid(r, "effect %q: want allow or deny", string(r.Effect))
	case !validWindow(r.From, r.Until):
		return d.invalid(r, "it ends before it starts: set until after from")
	}
	return d.checkID(r, r.ID)
}

func (d *draft) checkSubject(r Grant) error {
	switch r.SubjectKind {
	case SubjectPerson:
		if _, ok := d.next.Persons[r.Subject]; !ok {
			return d.dangling(r, Person{ID: r.Subject})
		}
	case SubjectGroup:
		if g, ok := d.next.Groups[r.Subject]; !ok {
			return d.dangling(r, Group{ID: r.Subject})
		} else if g.Of != OfPersons {
			return d.invalid(r, "%s is of targets: a grant goes to a group of persons", d.label(g))
		}
	case SubjectDevice:
		if dev, ok := d.next.Devices[r.Subject]; !ok {
			return d.dangling(r, Device{ID: r.Subject})
		} else if dev.Kind != keys.KindSwitch {
			return d.invalid(r, "%s asks for nothing by itself: among devices only a switch has grants", d.label(dev))
		}
	default:
		return d.invalid(r, "subject kind %q: want person, group or device", string(r.SubjectKind))
	}
	return nil
}

func (d *draft) checkPlace(r Grant) error {
	if (r.Target == "") == (r.TargetGroup == "") {
		return d.invalid(r, "set exactly one of target and target group")
	}
	for _, a := range r.Actions {
		if !a.Valid() {
			return d.invalid(r, "there is no %v", a)
		}
	}
	if r.TargetGroup != "" {
		if g, ok := d.next.Groups[r.TargetGroup]; !ok {
			return d.dangling(r, Group{ID: r.TargetGroup})
		} else if g.Of != OfTargets {
			return d.invalid(r, "%s is of persons: want a group of targets", d.label(g))
		}
		return nil // the group may hold doors and lamps: each action is for those it fits
	}
	t, ok := d.next.Targets[r.Target]
	if !ok {
		return d.dangling(r, Target{ID: r.Target})
	}
	for _, a := range r.Actions {
		if !t.Kind.Fits(a) {
			return d.invalid(r, "%v does not fit a %s: leave it out", a, t.Kind)
		}
	}
	return nil
}

// Fits tells whether the action may be asked of a target of this kind.
func (k TargetKind) Fits(a wire.Action) bool {
	switch k {
	case Door:
		return a == wire.Unlock || a == wire.Lock
	case Lamp:
		return a == wire.On || a == wire.Off || a == wire.Toggle || a == wire.Level
	}
	return false
}
