package access_test

import (
	"cmp"
	"errors"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"latchkey/gateway/access"
	"latchkey/gateway/access/edit"
	"latchkey/gateway/text"
)

// Badge is a record that package access does not know: a number on somebody's shirt.
type Badge struct {
	ID     access.ID
	Name   string
	Person access.ID
	Void   bool
}

// Badges is a kind as another package can define it, using only exported names.
var Badges = &access.Kind[access.ID, Badge]{
	Name:   "badge",
	ID:     func(r Badge) access.ID { return r.ID },
	Order:  cmp.Compare[access.ID],
	Blank:  func(id access.ID) Badge { return Badge{ID: id} },
	NameOf: func(r Badge) string { return r.Name },

	Normal:     func(_ *access.Draft, r Badge) (Badge, error) { return r, nil },
	References: func(r Badge, to *access.References) { to.To(access.Persons, r.Person) },
	Check: func(_ *access.Draft, r Badge) error {
		return cmp.Or(access.CheckID(r.ID), text.CheckHandle(r.Name))
	},
	CheckAll: func(d *access.Draft, e *access.Edit[access.ID, Badge]) error {
		if len(e.All()) > 2 {
			newest, _ := e.After(e.Touched[len(e.Touched)-1])
			return d.Invalid(newest, "there are two badges, and no more")
		}
		return nil
	},

	Label: func(n access.Namer, r Badge) string { return "badge " + n.NameOr(r.Name, r.ID) },
	Difference: func(n access.Namer, label string, b, a Badge, say *edit.Sentences) {
		say.If(a.Name != b.Name, "rename ", label, " to ", text.Quote(a.Name))
		say.If(a.Person != b.Person, "give ", label, " to ", n.Name(a.Person))
		say.If(a.Void && !b.Void, "void ", label)
	},
	Restricted: func(before, _ Badge) Badge { before.Void = true; return before },
	Follow: func(r Badge, _ access.ID) (access.Change, bool) {
		return access.Change{Delete: r}, r.Name != "master"
	},
}

var withBadges = access.Standard.With(Badges)

func TestKindOfAnotherPackage(t *testing.T) {
	ann := access.Person{ID: "0000000001", Name: "ann"}
	seven := Badge{ID: "0000000007", Name: "seven", Person: ann.ID}
	base, err := withBadges.New().With(access.Change{Put: ann})
	if err != nil {
		t.Fatal(err)
	}
	p, err := base.With(access.Change{Put: seven})
	if err != nil {
		t.Fatal(err)
	}
	if len(Badges.In(base)) != 0 || !maps.Equal(Badges.In(p), map[access.ID]Badge{seven.ID: seven}) {
		t.Errorf("got %v, then %v, want none, then seven", Badges.In(base), Badges.In(p))
	}
	if got, ok := Badges.ByName(p, "seven"); !ok || got != seven {
		t.Errorf("by name: got %v, %v", got, ok)
	}
	if !slices.Contains(slices.Collect(p.Records()), access.Record(seven)) {
		t.Error("records: the badge is not among them")
	}
	if again, err := withBadges.New().With(putAll(slices.Collect(p.Records())...)...); err != nil ||
		!reflect.DeepEqual(again, p) {
		t.Errorf("the policy made of its records: got %v, %v, want the same", again, err)
	}

	void, renamed := seven, seven
	void.Void, renamed.Name = true, "eight"
	for _, tt := range []struct {
		change access.Change
		want   string
	}{
		{access.Change{Put: Badge{ID: "0000000008", Name: "nine", Person: ann.ID}}, "add badge nine"},
		{access.Change{Put: void}, "void badge seven"},
		{access.Change{Put: renamed}, "rename badge seven to eight"},
		{access.Change{Delete: Badge{ID: seven.ID}}, "delete badge seven"},
	} {
		if got := p.Describe(tt.change); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
		if _, err := p.With(tt.change); err != nil {
			t.Errorf("%s: %v", tt.want, err)
		}
		if got, want := access.Restricts(p, tt.change), tt.change.Put == access.Record(void); got != want {
			t.Errorf("%s is a restriction: got %v, want %v", tt.want, got, want)
		}
	}
}

func TestKindOfAnotherPackageFollows(t *testing.T) {
	ann, bob := access.Person{ID: "0000000001", Name: "ann"}, access.Person{ID: "0000000002", Name: "bob"}
	seven := Badge{ID: "0000000007", Name: "seven", Person: ann.ID}
	master := Badge{ID: "0000000008", Name: "master", Person: bob.ID}
	p, err := withBadges.New().With(putAll(ann, bob, seven, master)...)
	if err != nil {
		t.Fatal(err)
	}
	changes, err := p.Removal(ann)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := p.DescribeAll(changes), []string{"delete badge seven",
		"delete person ann"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if _, err := p.With(changes...); err != nil {
		t.Error(err)
	}
	if _, err := p.Removal(bob); !errors.Is(err, access.ErrInUse) || !strings.Contains(err.Error(),
		"badge master") {
		t.Errorf("a badge that needs its person: got %v, want ErrInUse with its name", err)
	}
}

func TestKindOfAnotherPackageIsChecked(t *testing.T) {
	ann := access.Person{ID: "0000000001", Name: "ann"}
	seven := Badge{ID: "0000000007", Name: "seven", Person: ann.ID}
	p, err := withBadges.New().With(putAll(ann, seven)...)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name    string
		changes []access.Change
		want    error
		says    string
	}{
		{"of nobody", putAll(Badge{ID: "0000000008", Name: "x", Person: "0000000002"}), access.ErrNotFound,
			"person 0000000002"},
		{"with a bad name", putAll(Badge{ID: "0000000008", Name: "X", Person: ann.ID}), access.ErrInvalid,
			"badge X"},
		{"with a name that is taken", putAll(Badge{ID: "0000000008", Name: "seven", Person: ann.ID}),
			access.ErrConflict, "seven"},
		{"three", putAll(Badge{ID: "0000000008", Name: "x", Person: ann.ID},
			Badge{ID: "0000000009", Name: "y",
				Person: ann.ID}),
			access.ErrInvalid, "no more"},
		{"deleting its person", []access.Change{{Delete: ann}}, access.ErrInUse, "badge seven refers to it"},
		{"deleting a badge that does not exist", []access.Change{{Delete: Badge{ID: "0000000008"}}},
			access.ErrNotFound,
			"badge"},
		{"by pointer", putAll(&seven), access.ErrInvalid, "by value"},
	} {
		if _, err := p.With(tt.changes...); !errors.Is(err, tt.want) || !strings.Contains(err.Error(),
			tt.says) {
			t.Errorf("%s: got %v, want %v with a hint at %q", tt.name, err, tt.want, tt.says)
		}
	}
	if _, err := access.New().With(putAll(seven)...); !errors.Is(err, access.ErrInvalid) {
		t.Errorf("a kind that is not in the table: got %v, want ErrInvalid", err)
	}
	if _, ok := access.New().Get(seven); ok || Badges.In(access.New()) != nil {
		t.Error("a kind that is not in the table: got a record")
	}
}

func TestTableRefuses(t *testing.T) {
	again, nameless, another := *Badges, *Badges, *Badges
	nameless.Label = nil
	another.Name = "person"
	for name, add := range map[string][]access.RecordKind{
		"a second kind of the same records": {Badges, &again}, "an incomplete kind": {&nameless},
		"a name that is taken": {&another},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: got no panic", name)
				}
			}()
			access.Standard.With(add...)
		}()
	}
}

func putAll(records ...access.Record) (out []access.Change) {
	for _, r := range records {
		out = append(out, access.Change{Put: r})
	}
	return out
}
