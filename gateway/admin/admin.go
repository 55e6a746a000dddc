// Package admin is the HTTP/JSON interface to the policy, the events and the running gateway, with
// its OpenAPI 3.1 document. Each operation declares what it needs, and is refused to a principal
// ([account.Principal], in the request's context) that does not meet it. It translates requests and
// answers. Package access checks whether a change makes sense, store keeps the records, and account
// finds the principal. It does not listen.
package admin

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"reflect"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"latchkey/coapres/wire"
	"latchkey/gateway/access"
	"latchkey/gateway/access/edit"
	"latchkey/gateway/account"
	"latchkey/gateway/admin/api"
	"latchkey/gateway/admin/openapi"
	"latchkey/gateway/admin/route"
	"latchkey/gateway/admin/strictjson"
	"latchkey/gateway/aging"
	"latchkey/gateway/audit"
	"latchkey/gateway/doctor"
	"latchkey/gateway/feed"
	"latchkey/gateway/limit"
	"latchkey/gateway/store/backup"
	"latchkey/keys"
)

// Store holds the policy and the events.
type Store interface {
	Snapshot() *access.Policy
	// Tag returns a short text that changes with anything in the record.
	Tag(r access.Record) (string, error)
	Apply(ctx context.Context, actor string, changes ...access.Change) (seq uint64, err error)
	feed.Chain
	EventsSince(ctx context.Context, t time.Time, limit int) ([]audit.Event, error)
	Verify(ctx context.Context) error
	VerifyHead(ctx context.Context, seq uint64, hash keys.Hash) error
	// Verified returns when the whole store was last verified since it was opened, up to which
	// event, and what was wrong.
	Verified() (at time.Time, seq uint64, problem error)
	// Removed says which events were removed because they were old.
	Removed() audit.Removed
	CredentialID(uid []byte) access.CredentialID
	// SiteID returns the site's id, which is in all that is sent out.
	SiteID() access.ID
	// DeadLetters returns up to limit events that a sink's server refused, the oldest first.
	DeadLetters(ctx context.Context, sink access.ID, limit int) ([]audit.DeadLetter, error)
	// Space returns, in bytes, the used space, the free space, and the free space below which
	// nothing is granted. It returns errors.ErrUnsupported in memory.
	Space() (used, free, least uint64, err error)
	// WriteBackup writes a backup of everything that is durable.
	WriteBackup(ctx context.Context, w io.Writer, o backup.Options) error
}

// Live is the running gateway, for the operations that need one.
type Live interface {
	// Operate decides an operator's attempt and, if it is granted, commands the target. at is when
	// the request arrived.
	Operate(ctx context.Context, actor string, target access.ID, action wire.Action, level uint8,
		at time.Time) (api.Operated, error)
	// Learn waits for the next unknown card at the reader, until ctx ends. tail is the UID's last
	// two bytes in hex.
	Learn(ctx context.Context, reader access.ID) (card access.CredentialID, tail string, err error)
	Status() []api.DeviceStatus
	// Door returns the state of a door.
	Door(target access.ID) api.DoorState
	// Alarms returns the alarms that nobody has acknowledged, oldest first. The slice is the
	// caller's.
	Alarms() []api.Alarm
	// Acknowledge records who has acknowledged an alarm, and ends it. It fails with
	// access.ErrNotFound if there is no such alarm.
	Acknowledge(ctx context.Context, actor string, seq uint64, remark string) (api.Alarm, error)
	// Handshakes returns what is remembered of handshakes. The answer is the caller's.
	Handshakes() doctor.Handshakes
	Latency() api.Latency
	// ClockTrusted tells whether the clock can be trusted, and if not, why.
	ClockTrusted(now time.Time) (trusted bool, why string)
}

// Config holds what the handler needs. Store is required.
type Config struct {
	Store   Store
	Live    Live          // nil if no gateway runs here: operations that need one then answer 503
	Outside Outside       // nil if no gateway runs here
	Aging   *aging.Keeper // of Store; required for the operations on the retention
	Feed    *feed.Feed    // of Store; one is made if nil
	// Clock tells whether a gateway on this store would trust the clock, and if not, why. It is
	// called only without Live; nil: the clock is trusted.
	Clock func(now time.Time) (trusted bool, why string)

	Log     *slog.Logger // nothing is logged if nil
	Metrics http.Handler // served at /metrics; 404 if nil
	Version string       // of the program, for the document and /healthz
	// GatewayAddrs are the host:port at which devices may find the gateway. If there is exactly
	// one, it goes into the bundles of new devices; otherwise each request for a new device must
	// name one.
	GatewayAddrs []string
	ConsoleURL   string // where people find the console; may be empty

	Website account.Website // whose visitors sign in

	Confinement func() *doctor.Confinement // how the website's process is confined; nil: there is no website
	Health      func() []doctor.Finding    // why a valid card would not be let in now; none: it would
	Rollback    func() []doctor.Finding    // why the store may be an older copy; nil: nobody looks
	Now         func() time.Time           // time.Now if nil
}

// server holds what the functions that answer operations share.
type server struct {
	Config
	*route.Router
	// turn is held from reading a policy to the end of the change made from it, so that no change
	// undoes another.
	turn limit.Gate

	accounts *account.Registry
	streams  limit.Shares
}

// Handler returns the admin API. The principal of a request is that of its context, or nobody if
// the context has none.
type Handler struct {
	route.Bounded
	accounts *account.Registry
}

// Visitors returns the same API for the website, whose visitors sign in through it. The principal
// of a request is found by the cookie or the token that comes with it, and by nothing else.
func (h *Handler) Visitors() http.Handler { return h.accounts.Visitors(h) }

// New returns the handler. It starts no goroutine and need not be closed. A gateway has exactly
// one, because it counts tries and remembers which codes and challenges were used.
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
	a := &server{Config: cfg, turn: limit.NewGate(1),
		Router: &route.Router{API: humago.New(mux, configure(cfg.Version)), Demands: map[string]api.Demand{},
			Log: cfg.Log}}
	a.accounts = account.New(account.Config{Policy: a.Store.Snapshot, Edit: a.editRegistered,
		Record: a.Store.Record, ClockTrusted: a.trustsClock, Website: cfg.Website, Log: cfg.Log,
		Now: cfg.Now})
	a.addRoutes()
	if cfg.Metrics != nil {
		op := openapi.DescribeText(a.OpenAPI(), api.GetMetrics)
		a.CheckBefore(&op, api.GetMetrics.Needs, false)
		a.OpenAPI().AddOperation(&op)
		mux.Handle("GET /metrics", a.Guard(api.GetMetrics.Needs, cfg.Metrics))
	}
	openapi.DescribeEnums(a.OpenAPI())
	return &Handler{route.Bounded{Mux: mux}, a.accounts}
}

func (a *server) addRoutes() {
	a.addSiteRoutes()
	a.addTargetRoutes()
	a.addDeviceRoutes()
	a.addPersonRoutes()
	a.addCardRoutes()
	a.addGroupRoutes()
	a.addScheduleRoutes()
	a.addGrantRoutes()
	a.addExplainRoutes()
	a.addEventRoutes()
	a.addAuditRoutes()
	a.addRetentionRoutes()
	a.addBackupRoutes()
	a.addLiveRoutes()
	a.addAlarmRoutes()
	a.addDoctorRoutes()
	a.addLatencyRoutes()
	a.addAccountRoutes()
	a.addTotpRoutes()
	a.addPasskeyRoutes()
	a.addTokenRoutes()
	a.addSetupRoutes()
	a.addSessionRoutes()
	a.addSinkRoutes()
	a.addIntegrationRoutes()
	a.addPINRoutes()
}

// Names of members must match exactly: huma offers this only as a switch for the whole program.
func init() {
	huma.ValidateStrictCasing = true
	huma.DefaultArrayNullable = false // an empty list is [] everywhere
}

// configure returns the document, and how huma reads and writes JSON.
func configure(version string) huma.Config {
	cfg := openapi.Config(version)
	strict := huma.Format{Marshal: huma.DefaultJSONFormat.Marshal, Unmarshal: strictjson.Unmarshal}
	cfg.Formats = map[string]huma.Format{"application/json": strict, "json": strict}
	cfg.DefaultFormat = "application/json"
	cfg.RejectUnknownQueryParameters = true
	cfg.Transformers = []huma.Transformer{route.PlainProblem}
	return cfg
}

// makeChange makes the changes that from derives from the present policy. No other change is made
// through this handler meanwhile.
func (a *server) makeChange(ctx context.Context,
	from func(p *access.Policy) ([]access.Change, error)) (api.Changed, error) {
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
	if len(changes) == 0 { // nothing to change
		seq, _ := a.Store.Head()
		return api.Changed{Seq: seq, Changes: []string{}}, nil
	}
	changed := api.Changed{Changes: p.DescribeAll(changes)}
	changed.Seq, err = a.Store.Apply(ctx, actorOf(ctx), changes...)
	if errors.Is(err, edit.ErrNotDurable) {
		if reply := route.ReplyOf(ctx); reply != nil {
			reply.Notice, err = edit.ErrNotDurable.Error(), nil
		}
	}
	return changed, err
}

// makeStamp returns the present time in the form that records carry.
func (a *server) makeStamp() time.Time { return a.Now().UTC().Truncate(time.Second) }

type actorKey struct{}

// withActor names who made a change, if that is not the principal itself.
func withActor(ctx context.Context, actor string) context.Context {
	return context.WithValue(ctx, actorKey{}, actor)
}

func actorOf(ctx context.Context) string {
	if s, ok := ctx.Value(actorKey{}).(string); ok {
		return s
	}
	return account.PrincipalOf(ctx).Actor()
}

// handle registers the function that answers an operation.
func handle[In, Out any](a *server, op api.Operation[In, Out], h func(context.Context, *In) (Out, error)) {
	route.Handle(a.Router, op, h)
}
