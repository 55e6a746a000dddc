// Package console is the website: doors, lamps, events, people and devices, in HTML that works
// without scripts. It reads and changes everything through the admin API, sign-ins included. It
// does not listen and knows no certificates.
package console

import (
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"latchkey/gateway/admin/api"
	"latchkey/gateway/admin/client"
	"latchkey/gateway/console/page"
)

// Config holds what the console needs. API is required.
type Config struct {
	// API is the admin API for visitors of the website. The console passes on their cookies and
	// tokens with each request, and sets the cookies of the answers. If API is also an
	// [http.RoundTripper], the console uses RoundTrip for answers that end by themselves.
	API http.Handler
	// Hosts are the names, without port, that the console answers to, besides addresses; *.NAME
	// stands for all names one label below NAME. A request for any other host is refused, which
	// stops DNS rebinding: an attacker's name that points to this address. Empty: every host.
	Hosts []string

	Log *slog.Logger     // nothing is logged if nil
	Now func() time.Time // time.Now if nil
}

// Console is the website. It is an [http.Handler] for a TLS listener, as browsers send its cookies
// only over TLS. All that it knows about sign-ins comes from the admin API.
type Console struct {
	cfg     Config
	api     http.Client
	routes  []route
	mux     *http.ServeMux
	pages   *page.Pages
	handler http.Handler
	clients clients
	zones   page.Zones
}

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
	if c.pages, err = page.Parse(); err != nil {
		return nil, err
	}
	static, err := page.Static()
	if err != nil {
		return nil, err
	}
	c.routes = append(c.table(), listServerRoutes()...)
	for _, r := range c.routes {
		c.mux.Handle(r.pattern, c.serveRoute(r))
	}
	c.mux.Handle("GET /static/", http.StripPrefix("/static/", immutable(http.FileServerFS(static))))
	c.mux.Handle("/api/", http.StripPrefix("/api", http.HandlerFunc(c.serveScript)))
	c.handler = c.guardHandler(c.mux)
	return c, nil
}

func (c *Console) ServeHTTP(w http.ResponseWriter, r *http.Request) { c.handler.ServeHTTP(w, r) }

// Patterns returns the patterns of all pages and forms, in the form of [http.ServeMux].
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
	operation string // of the admin API, whose need decides who may; public: everybody, signed in or not
	serve     func(*visit) error
}

// public marks the few pages that can be seen before sign-in.
const public = ""

// table lists every page and form with its operation of the admin API: a visitor who may call the
// operation may see the page. Other addresses are not served.
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
		{"POST /sign-out", api.SignOutHere.ID, (*visit).signOut},

		{"GET /{$}", api.ListTargets.ID, (*visit).showHome},
		{"POST /lamps/{target}", api.Operate.ID + " on", (*visit).operateLamp},
		{"POST /doors/{target}/unlock", api.Operate.ID + " unlock", (*visit).unlockDoor},
		{"POST /doors/{target}/lock", api.Operate.ID + " lock", (*visit).lockDoor},
		{"POST /alarms/{alarm}/acknowledge", api.AcknowledgeAlarm.ID, (*visit).acknowledgeAlarm},
		{"POST /lockdown/on", api.SetLockdown.ID + " true", (*visit).startLockdown},
		{"POST /lockdown/off", api.SetLockdown.ID + " false", (*visit).endLockdown},

		{"GET /events", api.ListEvents.ID, (*visit).showEvents},
		{"GET /events.csv", api.ListEvents.ID, (*visit).exportCSV},
		{"GET /events.json", api.ListEvents.ID, (*visit).exportJSON},
		{"GET /live", api.StreamEvents.ID, (*visit).streamEvents},

		{"GET /why", api.Explain.ID, (*visit).showWhy},

		{"GET /people", api.ListPersons.ID, (*visit).showPeople},
		{"POST /people", api.AddPerson.ID, (*visit).addPerson},
		{"GET /people/{person}", api.GetPerson.ID, (*visit).showPerson},
		{"POST /people/{person}", api.ChangePerson.ID, (*visit).changePerson},
		{"POST /people/{person}/remove", api.RemovePerson.ID, (*visit).removePerson},
		{"POST /people/{person}/pin", api.SetPIN.ID, (*visit).setPIN},
		{"POST /people/{person}/pin/remove", api.RemovePIN.ID, (*visit).removePIN},
		{"POST /people/{person}/cards", api.AddCard.ID, (*visit).addCard},
		{"POST /people/{person}/learn", api.LearnCard.ID, (*visit).learnCard},
		{"POST /people/{person}/groups", api.JoinGroup.ID, (*visit).joinGroup},
		{"POST /people/{person}/groups/{group}/leave", api.LeaveGroup.ID, (*visit).leaveGroup},
		{"POST /cards/{card}", api.ChangeCard.ID, (*visit).changeCard},
		{"POST /cards/{card}/remove", api.RemoveCard.ID, (*visit).removeCard},
		{"GET /groups", api.ListGroups.ID, (*visit).showGroups},
		{"POST /groups", api.AddGroup.ID, (*visit).addGroup},
		{"GET /groups/{group}", api.GetGroup.ID, (*visit).showGroup},
		{"POST /groups/{group}/members", api.JoinGroup.ID, (*visit).addMember},
		{"POST /groups/{group}/members/{member}/remove", api.LeaveGroup.ID, (*visit).removeMember},
		{"POST /groups/{group}/remove", api.RemoveGroup.ID, (*visit).removeGroup},
		{"POST /grants", api.AddGrant.ID, (*visit).addGrant},
		{"POST /grants/{grant}/remove", api.RemoveGrant.ID, (*visit).removeGrant},
		{"GET /schedules", api.ListSchedules.ID, (*visit).showSchedules},
		{"POST /schedules", api.AddSchedule.ID, (*visit).addSchedule},
		{"POST /schedules/{schedule}", api.ChangeSchedule.ID, (*visit).changeSchedule},
		{"POST /schedules/{schedule}/remove", api.RemoveSchedule.ID, (*visit).removeSchedule},

		{"GET /devices", api.ListDevices.ID, (*visit).showDevices},
		{"POST /devices", api.AddDevice.ID, (*visit).addDevice},
		{"GET /devices/{device}", api.GetDevice.ID, (*visit).showDevice},
		{"POST /devices/{device}/rekey", api.RekeyDevice.ID, (*visit).rekeyDevice},
		{"POST /devices/{device}/revoke", api.RevokeDevice.ID, (*visit).revokeDevice},
		{"POST /devices/{device}/remove", api.RemoveDevice.ID, (*visit).removeDevice},
		{"GET /targets/{target}", api.GetTarget.ID, (*visit).showTarget},
		{"POST /targets", api.AddTarget.ID, (*visit).addTarget},
		{"POST /targets/{target}", api.ChangeTarget.ID, (*visit).changeTarget},
		{"POST /targets/{target}/remove", api.RemoveTarget.ID, (*visit).removeTarget},

		{"GET /health", api.Diagnose.ID, (*visit).showHealth},
		{"POST /health/verify", api.VerifyEvents.ID, (*visit).verifyEvents},
		{"POST /site", api.ChangeSite.ID, (*visit).changeSite},

		{"GET /account", api.GetAccount.ID, (*visit).showAccount},
		{"POST /account/password", api.ChangePassword.ID, (*visit).changePassword},
		{"POST /account/sign-out", api.SignOut.ID, (*visit).signOutEverywhere},
		{"POST /account/passkey", api.AskNewPasskey.ID, (*visit).beginNewPasskey},
		{"POST /account/passkeys", api.AddOwnPasskey.ID, (*visit).addPasskey},
		{"POST /account/passkeys/{passkey}/remove", api.RemovePasskey.ID, (*visit).removePasskey},
		{"POST /account/totp/new", api.MakeTOTP.ID, (*visit).beginTOTP},
		{"POST /account/totp", api.SetTOTP.ID, (*visit).setTOTP},
		{"POST /account/totp/remove", api.RemoveTOTP.ID, (*visit).removeTOTP},
		{"POST /account/tokens", api.AddToken.ID, (*visit).addToken},
		{"POST /account/tokens/{token}/remove", api.RemoveToken.ID, (*visit).removeToken},

		{"GET /admins", api.ListAccounts.ID, (*visit).showAdmins},
		{"POST /admins", api.AddAccount.ID, (*visit).addAdmin},
		{"POST /admins/{account}", api.ChangeAccount.ID, (*visit).changeAdmin},
		{"POST /admins/{account}/remove", api.RemoveAccount.ID, (*visit).removeAdmin},
	}
}

// immutable lets browsers cache static files for ever. Pages refer to a file by a name that changes
// with its content.
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
