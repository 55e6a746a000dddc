// Package admin is the HTTP/JSON interface to the policy, the events and the running gateway, with
// its OpenAPI 3.1 document. Each operation declares what it needs, and is refused to a principal
// ([account.Principal], in the request's context) that does not meet it. It shapes requests and
// answers: whether a change makes sense is for access to say, what is kept is for the store, who
// the principal is for account. It does not listen.
package admin

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"reflect"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"latchkey/coapres/wire"
	"latchkey/gateway/access"
	"latchkey/gateway/account"
	"latchkey/gateway/admin/api"
	"latchkey/gateway/admin/openapi"
	"latchkey/gateway/audit"
	"latchkey/gateway/doctor"
	"latchkey/gateway/feed"
	"latchkey/gateway/limit"
	"latchkey/keys"
)

// Store is what the policy and the events are read from and written to.
type Store interface {
	Snapshot() *access.Policy
	// Tag returns a short text that is another one when anything of the record is.
	Tag(r access.Record) (string, error)
	Apply(ctx context.Context, actor string, changes ...access.Change) (seq uint64, err error)
	feed.Chain
	Since(ctx context.Context, t time.Time, limit int) ([]audit.Event, error)
	Verify(ctx context.Context) error
	VerifyHead(ctx context.Context, seq uint64, hash keys.Hash) error
	// Verified tells when all of the store was last verified since it was opened, up to which
	// event, and what was wrong.
	Verified() (at time.Time, seq uint64, problem error)
	CredentialID(uid []byte) access.CredentialID
	// Space tells, in bytes, what is used, what is free, and below how much nothing is granted;
	// errors.ErrUnsupported in memory.
	Space() (used, free, least uint64, err error)
}

// Live is what only a running gateway can do.
type Live interface {
	// Operate decides an operator's attempt and, if it is granted, commands the target. at is when
	// the request arrived.
	Operate(ctx context.Context, actor string, target access.ID, action wire.Action, level uint8,
		at time.Time) (api.Operated, error)
	// Learn waits for the next unknown card at the reader, until ctx ends. tail is the UID's last
	// two bytes in hex.
	Learn(ctx context.Context, reader access.ID) (card access.CredentialID, tail string, err error)
	Status() []api.DeviceStatus
	// Door says what a door is now.
	Door(target access.ID) api.DoorState
	// Alarms are those that nobody has acknowledged, oldest first. The answer is the caller's.
	Alarms() []api.Alarm
	// Acknowledge keeps who has taken note of an alarm, and ends it. It fails with
	// access.ErrNotFound if there is none.
	Acknowledge(ctx context.Context, actor string, seq uint64, remark string) (api.Alarm, error)
	// Handshakes tells what is remembered of them. The answer is the caller's.
	Handshakes() doctor.Handshakes
	Latency() api.Latency
	// ClockTrusted tells whether wall time can be relied on, and if not, why.
	ClockTrusted(now time.Time) (trusted bool, why string)
}

// Config says what the handler works on. Store is required.
type Config struct {
	Store Store
	Live  Live       // nil when no gateway runs here: what needs one then answers 503
	Feed  *feed.Feed // of Store; one is made if nil
	// Clock tells whether a gateway on this store would trust a time of day, and why not. Asked
	// only without Live; nil: it would.
	Clock func(now time.Time) (trusted bool, why string)

	Log     *slog.Logger // nothing is logged if nil
	Metrics http.Handler // served at /metrics; 404 if nil
	Version string       // of the program, for the document and /healthz
	// GatewayAddrs are the host:port at which nodes may find the gateway. One goes into the bundles
	// of new devices; if there are none, or several, whoever adds a device has to say.
	GatewayAddrs []string
	ConsoleURL   string // where people find the console; may be empty

	Website account.Website // whose visitors sign in

	Confinement func() *doctor.Confinement // what holds the website back; nil: there is none
	Health      func() []doctor.Finding    // why a card that may enter would not be let in now; none: it would
	Now         func() time.Time           // time.Now if nil
}

// server is what the functions that answer operations have in common.
type server struct {
	Config
	huma.API
	look limit.Gate // held while events are searched: many searches at once would keep the processor from scans
	turn limit.Gate // held from reading a policy to the end of the change made from it, so that no change undoes another

	demands  map[string]api.Demand // what each operation needs, by its id
	accounts *account.Registry
	streams  limit.Shares
}

// Handler is the admin API. Who makes a request is the principal of its context, and nobody if
// there is none.
type Handler struct {
	bounded
	accounts *account.Registry
}

// Visitors is the same API for the website, whose visitors sign in through it: who makes a request
// is found out from the cookie or the token that comes with it, and from nothing else.
func (h *Handler) Visitors() http.Handler { return h.accounts.Visitors(h) }

// New returns the handler. It serves until its caller stops calling it and starts no goroutine. A
// gateway has one: what must not be tried too often, and what may be used once only, is remembered
// in it.
func New(cfg Config) *Handler {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Feed == nil {
		cfg.Feed = feed.New(cfg.Store, cfg.Log)
	}
	mux := http.NewServeMux()
	a := &server{Config: cfg, API: humago.New(mux, configure(cfg.Version)), look: limit.NewGate(1), turn: limit.NewGate(1),
		demands: map[string]api.Demand{}}
	a.accounts = account.New(account.Config{Policy: a.Store.Snapshot, Edit: a.edit, Record: a.Store.Record,
		ClockTrusted: a.clockTrusted,
		Website:      cfg.Website, Log: cfg.Log, Now: cfg.Now})
	a.routes()
	if cfg.Metrics != nil {
		op := openapi.DescribeText(a.OpenAPI(), api.GetMetrics)
		a.checkBefore(&op, api.GetMetrics.Needs, false)
		a.OpenAPI().AddOperation(&op)
		mux.Handle("GET /metrics", a.guard(api.GetMetrics.Needs, cfg.Metrics))
	}
	openapi.DescribeEnums(a.OpenAPI())
	return &Handler{bounded{mux}, a.accounts}
}

func (a *server) routes() {
	a.siteRoutes()
	a.targetRoutes()
	a.deviceRoutes()
	a.personRoutes()
	a.cardRoutes()
	a.groupRoutes()
	a.scheduleRoutes()
	a.grantRoutes()
	a.explainRoutes()
	a.eventRoutes()
	a.auditRoutes()
	a.liveRoutes()
	a.alarmRoutes()
	a.doctorRoutes()
	a.latencyRoutes()
	a.accountRoutes()
	a.totpRoutes()
	a.passkeyRoutes()
	a.tokenRoutes()
	a.setupRoutes()
	a.sessionRoutes()
}

// configure is the document, and how huma reads and writes.
func configure(version string) huma.Config {
	cfg := openapi.Config(version)
	strict := huma.Format{Marshal: huma.DefaultJSONFormat.Marshal, Unmarshal: strictUnmarshal}
	cfg.Formats = map[string]huma.Format{"application/json": strict, "json": strict}
	cfg.DefaultFormat = "application/json"
	cfg.RejectUnknownQueryParameters = true
	cfg.Transformers = []huma.Transformer{plainProblem}
	return cfg
}

// change makes the changes that from derives from the policy as it is. Meanwhile no other change is
// made through this handler.
func (a *server) change(ctx context.Context, from func(p *access.Policy) ([]access.Change, error)) (api.Changed,
	error) {
	if err := a.turn.Enter(ctx); err != nil {
		return api.Changed{}, err
	}
	defer a.turn.Leave()
	p := a.Store.Snapshot()
	changes, err := from(p)
	if err != nil {
		return api.Changed{}, err
	}
	changes = slices.DeleteFunc(changes, func(c access.Change) bool {
		kept, ok := p.Get(c.Put)
		return ok && reflect.DeepEqual(kept, c.Put)
	})
	if len(changes) == 0 { // it is so already
		seq, _ := a.Store.Head()
		return api.Changed{Seq: seq, Changes: []string{}}, nil
	}
	changed := api.Changed{Changes: p.DescribeAll(changes)}
	changed.Seq, err = a.Store.Apply(ctx, actorOf(ctx), changes...)
	if errors.Is(err, access.ErrNotDurable) {
		if reply := replyOf(ctx); reply != nil {
			reply.notice, err = access.ErrNotDurable.Error(), nil
		}
	}
	return changed, err
}

// stamp is now as records carry it.
func (a *server) stamp() time.Time { return a.Now().UTC().Truncate(time.Second) }

type actorKey struct{}

// withActor says who made a change that the principal did not make by himself.
func withActor(ctx context.Context, actor string) context.Context {
	return context.WithValue(ctx, actorKey{}, actor)
}

func actorOf(ctx context.Context) string {
	if s, ok := ctx.Value(actorKey{}).(string); ok {
		return s
	}
	return account.PrincipalOf(ctx).Actor()
}
