// Package console is the website: doors, lamps, events, people and devices, in HTML that works without scripts. It is a client of the admin
// API's handler in this process and has no other way to the policy; it neither listens nor knows of certificates.
package console

import (
	"context"
	"embed"
	"errors"
	"html/template"
	"io/fs"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/alexedwards/scs/v2"

	"latchkey/gateway/access"
	"latchkey/gateway/admin"
)

// Config says what the console works on. API and SignIns are required.
type Config struct {
	API     http.Handler // the admin API; with the console's own accounts
	SignIns SignIns      // where it is kept who is signed in

	// Hosts are the names, without port, that the console answers to, besides addresses; *.NAME stands for all right below it. A request for any
	// other is refused, so that a foreign name that was made to point here (DNS rebinding) reaches nothing. Empty: every host.
	Hosts []string
	// Local are the networks whose people open doors without a second step. Loopback is not among them unless it is named: behind a
	// reverse proxy everybody comes from there.
	Local []netip.Prefix
	// BrowserKey signs what a browser keeps in which somebody has signed in. If it is empty there is one until the program ends.
	BrowserKey []byte

	Log *slog.Logger     // nothing is logged if nil
	Now func() time.Time // time.Now if nil
}

// SignIns keeps what a browser's cookie stands for, under the SHA-256 of the cookie.
type SignIns interface {
	SignIn(ctx context.Context, id [32]byte) (data []byte, ok bool, err error)
	PutSignIn(ctx context.Context, id [32]byte, data []byte, expiry time.Time) error
	DeleteSignIn(ctx context.Context, id [32]byte) error
}

// Console is the website. It is an [http.Handler] for a TLS listener: its cookies reach it over nothing else.
type Console struct {
	cfg        Config
	api        http.Client
	sessions   *scs.SessionManager
	routes     []route
	mux        *http.ServeMux
	pages      map[string]*template.Template
	handler    http.Handler
	tries      tries
	guesses    guesses
	places     places
	challenges challenges
	clients    clients
}

//go:embed all:templates static
var files embed.FS

// New returns the console.
func New(cfg Config) (*Console, error) {
	if cfg.API == nil || cfg.SignIns == nil {
		return nil, errors.New("console: no API, or nowhere to keep who is signed in")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if len(cfg.BrowserKey) == 0 {
		cfg.BrowserKey = randomKey()
	}
	c := &Console{cfg: cfg, places: newPlaces(), challenges: newChallenges(cfg.Now), api: http.Client{Transport: admin.InProcess(cfg.API)}, sessions: newSessions(cfg), mux: http.NewServeMux()}
	c.tries.now = cfg.Now
	var err error
	if c.pages, err = parsePages(); err != nil {
		return nil, err
	}
	static, err := fs.Sub(files, "static")
	if err != nil {
		return nil, err
	}
	c.routes = c.table()
	for _, r := range c.routes {
		c.mux.Handle(r.pattern, c.sessions.LoadAndSave(c.at(r)))
	}
	c.mux.Handle("GET /static/", http.StripPrefix("/static/", immutable(http.FileServerFS(static))))
	c.mux.Handle("/api/", http.StripPrefix("/api", http.HandlerFunc(c.script)))
	c.handler = c.guarded(c.mux)
	return c, nil
}

func (c *Console) ServeHTTP(w http.ResponseWriter, r *http.Request) { c.handler.ServeHTTP(w, r) }

// Patterns are those of every page and form, as [http.ServeMux] has them.
func (c *Console) Patterns() []string {
	out := make([]string, 0, len(c.routes))
	for _, r := range c.routes {
		out = append(out, r.pattern)
	}
	return out
}

// route is one page or form.
type route struct {
	pattern string
	least   access.Role // who may; empty: everybody, signed in or not
	step    step        // what is asked for again, just before
	serve   func(*visit) error
}

// step is how sure the console must be that it is still the person who signed in. On a local network it takes their word.
type step int

const (
	none    step = iota
	confirm      // a second step within the last minutes; the password where the account has no second step
	second       // a second step within the last minutes, and no way without one
)

// anybody marks the few pages that are there before somebody is signed in.
const anybody access.Role = ""

// table is every page and form there is, and who may. What is not here is not served.
func (c *Console) table() []route {
	view, operate, manage, own := access.RoleViewer, access.RoleOperator, access.RoleAdmin, access.RoleOwner
	return []route{
		{"GET /sign-in", anybody, none, (*visit).showSignIn},
		{"POST /sign-in", anybody, none, (*visit).signIn},
		{"GET /sign-in/second", anybody, none, (*visit).showSecond},
		{"POST /sign-in/second", anybody, none, (*visit).signInSecond},
		{"POST /sign-in/passkey", anybody, none, (*visit).signInPasskey},
		{"POST /passkey", anybody, none, (*visit).beginPasskey},
		{"GET /setup", anybody, none, (*visit).showSetup},
		{"POST /setup", anybody, none, (*visit).setUp},
		{"POST /sign-out", view, none, (*visit).signOut},

		{"GET /{$}", view, none, (*visit).showHome},
		{"POST /lamps/{target}", operate, none, (*visit).operateLamp},
		{"POST /doors/{target}/unlock", operate, second, (*visit).unlockDoor},
		{"POST /doors/{target}/lock", operate, none, (*visit).lockDoor},
		{"POST /alarms/{alarm}/acknowledge", operate, none, (*visit).acknowledge},
		{"POST /lockdown/on", operate, none, (*visit).startLockdown},
		{"POST /lockdown/off", manage, confirm, (*visit).endLockdown},

		{"GET /events", view, none, (*visit).showEvents},
		{"GET /events.csv", view, none, (*visit).exportCSV},
		{"GET /events.json", view, none, (*visit).exportJSON},
		{"GET /live", view, none, (*visit).live},

		{"GET /why", view, none, (*visit).showWhy},

		{"GET /people", view, none, (*visit).showPeople},
		{"POST /people", manage, confirm, (*visit).addPerson},
		{"GET /people/{person}", view, none, (*visit).showPerson},
		{"POST /people/{person}", manage, confirm, (*visit).changePerson},
		{"POST /people/{person}/remove", manage, confirm, (*visit).removePerson},
		{"POST /people/{person}/cards", manage, confirm, (*visit).addCard},
		{"POST /people/{person}/learn", manage, confirm, (*visit).learnCard},
		{"POST /people/{person}/groups", manage, confirm, (*visit).joinGroup},
		{"POST /people/{person}/groups/{group}/leave", manage, confirm, (*visit).leaveGroup},
		{"POST /cards/{card}", manage, confirm, (*visit).changeCard},
		{"POST /cards/{card}/remove", manage, confirm, (*visit).removeCard},
		{"GET /groups", view, none, (*visit).showGroups},
		{"POST /groups", manage, confirm, (*visit).addGroup},
		{"GET /groups/{group}", view, none, (*visit).showGroup},
		{"POST /groups/{group}/members", manage, confirm, (*visit).addMember},
		{"POST /groups/{group}/members/{member}/remove", manage, confirm, (*visit).removeMember},
		{"POST /groups/{group}/remove", manage, confirm, (*visit).removeGroup},
		{"POST /grants", manage, confirm, (*visit).addGrant},
		{"POST /grants/{grant}/remove", manage, confirm, (*visit).removeGrant},
		{"GET /schedules", view, none, (*visit).showSchedules},
		{"POST /schedules", manage, confirm, (*visit).addSchedule},
		{"POST /schedules/{schedule}", manage, confirm, (*visit).changeSchedule},
		{"POST /schedules/{schedule}/remove", manage, confirm, (*visit).removeSchedule},

		{"GET /devices", view, none, (*visit).showDevices},
		{"POST /devices", manage, confirm, (*visit).addDevice},
		{"GET /devices/{device}", view, none, (*visit).showDevice},
		{"POST /devices/{device}/rekey", manage, confirm, (*visit).rekeyDevice},
		{"POST /devices/{device}/revoke", manage, confirm, (*visit).revokeDevice},
		{"POST /devices/{device}/remove", manage, confirm, (*visit).removeDevice},
		{"GET /targets/{target}", view, none, (*visit).showTarget},
		{"POST /targets", manage, confirm, (*visit).addTarget},
		{"POST /targets/{target}", manage, confirm, (*visit).changeTarget},
		{"POST /targets/{target}/remove", manage, confirm, (*visit).removeTarget},

		{"GET /health", view, none, (*visit).showHealth},
		{"POST /health/verify", view, none, (*visit).verifyEvents},
		{"POST /site", manage, confirm, (*visit).changeSite},

		{"GET /account", view, none, (*visit).showAccount},
		{"POST /account/password", view, confirm, (*visit).changePassword},
		{"POST /account/sign-out", view, none, (*visit).signOutEverywhere},
		{"POST /account/passkey", view, none, (*visit).beginNewPasskey},
		{"POST /account/passkeys", view, confirm, (*visit).addPasskey},
		{"POST /account/passkeys/{passkey}/remove", view, confirm, (*visit).removePasskey},
		{"POST /account/totp/new", view, confirm, (*visit).beginTOTP},
		{"POST /account/totp", view, confirm, (*visit).setTOTP},
		{"POST /account/totp/remove", view, confirm, (*visit).removeTOTP},
		{"POST /account/tokens", view, confirm, (*visit).addToken},
		{"POST /account/tokens/{token}/remove", view, none, (*visit).removeToken},

		{"GET /admins", own, none, (*visit).showAdmins},
		{"POST /admins", own, confirm, (*visit).addAdmin},
		{"POST /admins/{account}", own, confirm, (*visit).changeAdmin},
		{"POST /admins/{account}/remove", own, confirm, (*visit).removeAdmin},
	}
}

// immutable lets browsers keep what is compiled in; pages ask for it under a name that changes with its content.
func immutable(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/") || r.URL.Path == "" {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
		h.ServeHTTP(w, r)
	})
}
