// Package console is the website: doors, lamps, events, people and devices, in HTML that works
// without scripts. It is a client of the admin API's and has no other way to the policy, nor to who
// has signed in; it neither listens nor knows of certificates.
package console

import (
	"embed"
	"errors"
	"html/template"
	"io/fs"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"latchkey/gateway/admin/client"
)

// Config says what the console works on. API is required.
type Config struct {
	// API is the admin API as it is for visitors of the website: the console hands over their
	// cookies and tokens with each request, and sets the cookies of the answers.
	// One that is also an [http.RoundTripper] is asked by that where an answer ends by itself.
	API http.Handler
	// Hosts are the names, without port, that the console answers to, besides addresses; *.NAME
	// stands for all right below it. A request for any other is refused, so that a foreign name
	// that was made to point here (DNS rebinding) reaches nothing. Empty: every host.
	Hosts []string

	Log *slog.Logger     // nothing is logged if nil
	Now func() time.Time // time.Now if nil
}

// Console is the website. It is an [http.Handler] for a TLS listener: its cookies reach it over
// nothing else. It knows nothing of who has signed in but what the admin API says.
type Console struct {
	cfg     Config
	api     http.Client
	routes  []route
	mux     *http.ServeMux
	pages   map[string]*template.Template
	handler http.Handler
	clients clients
	zones   zones
}

//go:embed all:templates static
var files embed.FS

// New returns the console.
func New(cfg Config) (*Console, error) {
	if cfg.API == nil {
		return nil, errors.New("console: no API")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	transport, ok := cfg.API.(http.RoundTripper)
	if !ok {
		transport = client.InProcess(cfg.API)
	}
	c := &Console{cfg: cfg, api: http.Client{Transport: transport}, mux: http.NewServeMux()}
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
		c.mux.Handle(r.pattern, c.at(r))
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
	pattern   string
	operation string // of the admin API, which says who may; public: everybody, signed in or not
	serve     func(*visit) error
}

// public marks the few pages that are there before somebody is signed in.
const public = ""

// table is every page and form there is, and the operation of the admin API that it is for: who may
// call that may see the page. What is not here is not served.
func (c *Console) table() []route {
	return []route{
		{"GET /sign-in", public, (*visit).showSignIn},
		{"POST /sign-in", public, (*visit).signIn},
		{"GET /sign-in/second", public, (*visit).showSecond},
		{"POST /sign-in/second", public, (*visit).signInSecond},
		{"POST /sign-in/passkey", public, (*visit).signInPasskey},
		{"POST /passkey", public, (*visit).beginPasskey},
		{"GET /setup", public, (*visit).showSetup},
		{"POST /setup", public, (*visit).setUp},
		{"POST /sign-out", "sign-out-here", (*visit).signOut},

		{"GET /{$}", "list-targets", (*visit).showHome},
		{"POST /lamps/{target}", "operate on", (*visit).operateLamp},
		{"POST /doors/{target}/unlock", "operate unlock", (*visit).unlockDoor},
		{"POST /doors/{target}/lock", "operate lock", (*visit).lockDoor},
		{"POST /alarms/{alarm}/acknowledge", "acknowledge-alarm", (*visit).acknowledge},
		{"POST /lockdown/on", "set-lockdown true", (*visit).startLockdown},
		{"POST /lockdown/off", "set-lockdown false", (*visit).endLockdown},

		{"GET /events", "list-events", (*visit).showEvents},
		{"GET /events.csv", "list-events", (*visit).exportCSV},
		{"GET /events.json", "list-events", (*visit).exportJSON},
		{"GET /live", "stream-events", (*visit).live},

		{"GET /why", "explain", (*visit).showWhy},

		{"GET /people", "list-persons", (*visit).showPeople},
		{"POST /people", "add-person", (*visit).addPerson},
		{"GET /people/{person}", "get-person", (*visit).showPerson},
		{"POST /people/{person}", "change-person", (*visit).changePerson},
		{"POST /people/{person}/remove", "remove-person", (*visit).removePerson},
		{"POST /people/{person}/cards", "add-card", (*visit).addCard},
		{"POST /people/{person}/learn", "learn-card", (*visit).learnCard},
		{"POST /people/{person}/groups", "join-group", (*visit).joinGroup},
		{"POST /people/{person}/groups/{group}/leave", "leave-group", (*visit).leaveGroup},
		{"POST /cards/{card}", "change-card", (*visit).changeCard},
		{"POST /cards/{card}/remove", "remove-card", (*visit).removeCard},
		{"GET /groups", "list-groups", (*visit).showGroups},
		{"POST /groups", "add-group", (*visit).addGroup},
		{"GET /groups/{group}", "get-group", (*visit).showGroup},
		{"POST /groups/{group}/members", "join-group", (*visit).addMember},
		{"POST /groups/{group}/members/{member}/remove", "leave-group", (*visit).removeMember},
		{"POST /groups/{group}/remove", "remove-group", (*visit).removeGroup},
		{"POST /grants", "add-grant", (*visit).addGrant},
		{"POST /grants/{grant}/remove", "remove-grant", (*visit).removeGrant},
		{"GET /schedules", "list-schedules", (*visit).showSchedules},
		{"POST /schedules", "add-schedule", (*visit).addSchedule},
		{"POST /schedules/{schedule}", "change-schedule", (*visit).changeSchedule},
		{"POST /schedules/{schedule}/remove", "remove-schedule", (*visit).removeSchedule},

		{"GET /devices", "list-devices", (*visit).showDevices},
		{"POST /devices", "add-device", (*visit).addDevice},
		{"GET /devices/{device}", "get-device", (*visit).showDevice},
		{"POST /devices/{device}/rekey", "rekey-device", (*visit).rekeyDevice},
		{"POST /devices/{device}/revoke", "revoke-device", (*visit).revokeDevice},
		{"POST /devices/{device}/remove", "remove-device", (*visit).removeDevice},
		{"GET /targets/{target}", "get-target", (*visit).showTarget},
		{"POST /targets", "add-target", (*visit).addTarget},
		{"POST /targets/{target}", "change-target", (*visit).changeTarget},
		{"POST /targets/{target}/remove", "remove-target", (*visit).removeTarget},

		{"GET /health", "diagnose", (*visit).showHealth},
		{"POST /health/verify", "verify-events", (*visit).verifyEvents},
		{"POST /site", "change-site", (*visit).changeSite},

		{"GET /account", "get-account", (*visit).showAccount},
		{"POST /account/password", "change-password", (*visit).changePassword},
		{"POST /account/sign-out", "sign-out", (*visit).signOutEverywhere},
		{"POST /account/passkey", "ask-new-passkey", (*visit).beginNewPasskey},
		{"POST /account/passkeys", "add-own-passkey", (*visit).addPasskey},
		{"POST /account/passkeys/{passkey}/remove", "remove-passkey", (*visit).removePasskey},
		{"POST /account/totp/new", "make-totp", (*visit).beginTOTP},
		{"POST /account/totp", "set-totp", (*visit).setTOTP},
		{"POST /account/totp/remove", "remove-totp", (*visit).removeTOTP},
		{"POST /account/tokens", "add-token", (*visit).addToken},
		{"POST /account/tokens/{token}/remove", "remove-token", (*visit).removeToken},

		{"GET /admins", "list-accounts", (*visit).showAdmins},
		{"POST /admins", "add-account", (*visit).addAdmin},
		{"POST /admins/{account}", "change-account", (*visit).changeAdmin},
		{"POST /admins/{account}/remove", "remove-account", (*visit).removeAdmin},
	}
}

// immutable lets browsers keep what is compiled in; pages ask for it under a name that changes with
// its content.
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
