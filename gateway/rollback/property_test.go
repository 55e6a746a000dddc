package rollback

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"latchkey/gateway/access"
	"latchkey/gateway/access/accounts"
	"latchkey/keys"
)

// player makes random changes of a real store, and knows what each of them takes away.
type player struct {
	*house
	r     *rand.Rand
	next  int
	taken Counts // since the copy was made
}

func (p *player) id() access.ID {
	p.next++
	return access.ID(fmt.Sprintf("%010d", 1000+p.next))
}

// play makes one change, or an event that changes nothing.
func (p *player) play() {
	pol := p.store.Snapshot()
	person, _ := pol.PersonByName("ann")
	card := pol.Credentials[access.CredentialID{1}]
	site := pol.Site
	account := accounts.Kind.In(pol)["0000000006"]
	switch p.r.IntN(12) {
	case 0:
		if person.Suspended = !person.Suspended; person.Suspended {
			p.taken[PersonSuspended]++
		}
		p.apply(put(person))
	case 1:
		if card.Status == access.CardActive {
			card.Status = access.CardLost
			p.taken[CardLost]++
		} else {
			card.Status = access.CardActive
		}
		p.apply(put(card))
	case 2:
		if site.Lockdown = !site.Lockdown; site.Lockdown {
			p.taken[Lockdown]++
		}
		p.apply(put(site))
	case 3: // a new key, and the old one is revoked
		id := keys.ID(fmt.Sprintf("lk-%010d", p.r.IntN(1e9)))
		fresh := keys.Key{ID: id, Device: lockID, Secret: keys.NewSecret(), State: keys.Active, Created: made}
		changes := []access.Change{put(fresh)}
		for _, k := range pol.KeysOf(lockID) {
			if k.State.Usable() {
				k.State, k.Secret = keys.Revoked, keys.Secret{}
				changes = append(changes, put(k))
				p.taken[KeyRevoked]++
			}
		}
		p.apply(changes...)
	case 4:
		p.apply(put(access.Grant{ID: p.id(), SubjectKind: access.SubjectPerson, Subject: annID, Target: doorID,
			Effect: access.Allow}))
	case 5:
		p.taken[GrantDenied]++
		p.apply(put(access.Grant{ID: p.id(), SubjectKind: access.SubjectPerson, Subject: annID, Target: doorID,
			Effect: access.Deny}))
	case 6: // all grants go at once
		var changes []access.Change
		for _, g := range pol.Grants {
			changes = append(changes, access.Change{Delete: *g})
			if g.Effect == access.Allow {
				p.taken[GrantRemoved]++
			}
		}
		if len(changes) > 0 {
			p.apply(changes...)
		}
	case 7:
		id := p.id()
		p.apply(put(access.Person{ID: id, Name: string(id)}))
		p.taken[PersonRemoved]++
		p.apply(access.Change{Delete: access.Person{ID: id}})
	case 8:
		if account.Role == accounts.RoleAdmin {
			account.Role = accounts.RoleViewer
			p.taken[AccountDemoted]++
		} else {
			account.Role = accounts.RoleAdmin
		}
		p.apply(put(account))
	default:
		p.record(1 + p.r.IntN(3))
	}
}

// Random changes of a real store are rolled back to a random moment. What is named is what was taken
// away since, no more and no less, whether or not the gateway ended well and started in between.
func TestARealStoreNamesWhatWasTakenAwaySince(t *testing.T) {
	for seed := range uint64(8) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			h := newHouse(t)
			p := &player{house: h, r: rand.New(rand.NewPCG(seed, 0))}
			h.open()
			h.furnish()
			h.apply(put(accounts.Account{ID: "0000000005", Name: "keeper", Role: accounts.RoleOwner}),
				put(accounts.Account{ID: "0000000006", Name: "guest", Role: accounts.RoleAdmin}))
			for range p.r.IntN(40) {
				p.play()
			}
			older := filepath.Join(t.TempDir(), "older")
			h.close()
			copyFolder(t, h.place.Data, older)
			h.open()
			p.taken = Counts{}
			end, _ := h.store.Head()
			for range 1 + p.r.IntN(60) {
				p.play()
				switch p.r.IntN(8) {
				case 0:
					h.close()
					h.open()
				case 1:
					h.watch.flush()
				}
			}
			h.record(1) // at least one event is missing
			h.watch.flush()
			newest, _ := h.store.Head()
			h.close()
			copyFolder(t, older, h.place.Data)
			h.open()
			want := p.taken.String() + " among them may be undone"
			if p.taken.Sum() == 0 {
				want = "nothing was taken away in them"
			}
			got := h.findings()
			if len(got) != 1 || !strings.HasSuffix(got[0], " missing; "+want) {
				t.Fatalf("events %d–%d: got %q, want %q", end+1, newest, got, want)
			}
		})
	}
}
