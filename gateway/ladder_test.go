package gateway_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// floors is the rung of each top folder. A package may import from another folder only if that
// folder has a lower rung.
var floors = map[string]int{"keys": 0, "coapres": 1, "gateway": 2, "cli": 3, "bench": 3, "firmware": 3}

// ladder is the rung of each package. A package may import only packages on lower rungs. A new
// package gets its rung here.
var ladder = map[string]float64{
	"keys":                                  0,
	"keys/provision":                        1,
	"coapres/wire":                          1,
	"coapres/transport/message":             1,
	"coapres/transport/message/messagetest": 2,
	"coapres/transport/record/ccm":          1,
	"coapres/transport/limits":              1.3,
	"coapres/transport/record":              1,
	"coapres/transport/record/protect":      1.3,
	"coapres/transport/takeover":            1.6,
	"coapres/transport/saved":               1.6,
	"coapres/transport/socket":              1,
	"coapres/transport/pipe":                1.3,
	"coapres/transport/workers":             1.3,
	"coapres/transport":                     2,
	"coapres":                               2,
	"coapres/device/finder":                 1.6,
	"coapres/device":                        3,

	"gateway/limit":            0,
	"gateway/clock":            0,
	"gateway/text":             0,
	"gateway/calendar":         1,
	"gateway/endpoint":         1,
	"gateway/endpoint/dial":    1.5,
	"gateway/access/edit":      0,
	"gateway/access":           2,
	"gateway/access/accounts":  2.1,
	"gateway/audit":            2.1,
	"gateway/access/sinks":     2.2,
	"gateway/access/retention": 2.2,
	"gateway/cloudevent":       2.2,
	"gateway/sink/sender":      2,
	"gateway/sink/webhook":     2.5,
	"gateway/sink":             5,
	"gateway/mqtt":             2,
	"gateway/sink/mqttout":     2.5,
	"gateway/sink/natsout":     2.5,
	"gateway/sink/flight":      2.1,
	"gateway/sink/amqp091":     2.3,
	"gateway/sink/amqp10":      2.3,
	"gateway/door":             2,
	"gateway/certificate":      2,
	"gateway/store/seal":       0,
	"gateway/store/folder":     1,
	"gateway/store/engine":     2,
	"gateway/store/record":     2.3,
	"gateway/store/reader":     2.5,
	"gateway/store/backup":     2.5,
	"gateway/store":            3,
	"gateway/session":          3,
	"gateway/house":            3,
	"gateway/account":          3,
	"gateway/learn":            3,
	"gateway/feed":             4,
	"gateway/store/restore":    4,
	"gateway/doctor":           4,
	"gateway/doorwatch":        4,
	"gateway/observe":          4,
	"gateway/rollback":         4.5,
	"gateway/nodes":            5,
	"gateway/homeassistant":    5,
	"gateway/admin/api":        4.5,
	"gateway/admin/strictjson": 4.7,
	"gateway/admin/openapi":    4.7,
	"gateway/admin/client":     4.7,
	"gateway/admin/route":      4.8,
	"gateway/admin/servers":    4.8,
	"gateway/admin/backups":    4.8,
	"gateway/restart":          4.8,
	"gateway/aging":            4.8,
	"gateway/admin":            5,
	"gateway/adminsocket":      6,
	"gateway/console/page":     5,
	"gateway/console/servers":  5.5,
	"gateway/console":          6,
	"gateway/outside":          6,
	"gateway":                  7,

	"gateway/website/confine": 0,
	"gateway/website":         6,
	"gateway/website/child":   6.5,

	"cli/terminal":         0,
	"cli/settings":         8,
	"cli/connection":       8.5,
	"cli/simulate":         7,
	"cli/demo":             8,
	"cli/serving":          8.7,
	"cli/backup":           8.6,
	"cli":                  9,
	"cli/latchkey":         10,
	"bench/flood":          9,
	"bench/webflood":       8,
	"gateway/sink/broker":  9.5, // above the program's own packages: for tests and benchmarks only
	"bench/load":           8,
	"bench/report":         8,
	"bench/wirebytes":      8,
	"bench":                8,
	"bench/server":         9,
	"bench/peer":           9,
	"bench/latchkey-bench": 10,
	"firmware/mutate":      0,

	"gateway/calendar/calendartest": 11, // above the programs, so that only tests may import them
	"gateway/e2e":                   11,
	"gateway/endpoint/badnet":       11,
	"gateway/endpoint/testca":       11,
	"gateway/sink/sinktest":         11,
	"gateway/sink/natstest":         11.5,
	"gateway/mqtt/mosquitto":        11.5,
	"gateway/homeassistant/hatest":  11.7,
	"gateway/faultdisk":             11,
	"gateway/console/webtest":       11,
	"gateway/sink/brokertest":       11.5,
}

// alone are the modules that only these packages and their tests may import. Where the name ends in
// _test, only the tests of the package may.
var alone = map[string][]string{
	"github.com/dgraph-io/badger": {"gateway/store", "gateway/store/engine", "gateway/store/folder",
		"gateway/store/reader"},
	"google.golang.org/protobuf": {"gateway/store/folder"},
	// bench compares with stock go-coap, and its load uses a node that costs little.
	"github.com/pion": {"coapres/transport", "coapres/transport/takeover", "coapres/transport/record/ccm_test",
		"coapres/transport/record/protect_test", "bench/load", "bench/server", "bench/peer_test"},
	"github.com/danielgtaylor/huma": {"gateway/admin", "gateway/admin/openapi", "gateway/admin/route"},
	"github.com/urfave/cli": {"cli", "cli/serving", "cli/settings", "cli/demo", "cli/simulate",
		"cli/terminal", "cli/backup"},
	"github.com/plgd-dev/go-coap": {"coapres/transport", "coapres/transport/message_test", "gateway",
		"coapres", "coapres/device", "gateway/session_test", "gateway/homeassistant_test", "gateway/e2e_test",
		"bench/load", "bench/server",
		"bench/latchkey-bench"},
	"github.com/fxamacker/cbor":        {"coapres/wire", "gateway/store/record"},
	"github.com/prometheus":            {"gateway/observe"},
	"filippo.io/age":                   {"gateway/store/backup"},
	"golang.org/x/crypto":              {"gateway/store/seal", "coapres/transport/record/protect"},
	"github.com/caddyserver/certmagic": {"gateway/certificate"},
	"go.uber.org/zap":                  {"gateway/certificate"},
	"github.com/mdp/qrterminal":        {"keys/provision"},
	"github.com/rogpeppe/go-internal":  {"cli"},
	"gonum.org/v1/plot":                {"bench/report"},
	"github.com/chromedp":              {"gateway/console/webtest", "gateway/console_test"},
	"github.com/alexedwards/scs":       {"gateway/account"},
	"github.com/alexedwards/argon2id":  {"gateway/account"},
	"github.com/pquerna/otp":           {"gateway/account", "gateway/admin_test", "gateway/console_test"},

	"github.com/eclipse/paho.golang": {"gateway/mqtt"},
	"github.com/nats-io":             {"gateway/sink/natsout", "gateway/sink/natstest", "gateway/e2e_test"},
	"github.com/rabbitmq":            {"gateway/sink/amqp091", "gateway/sink/broker"},
	"github.com/Azure":               {"gateway/sink/amqp10", "gateway/sink/broker"},
	"github.com/mochi-mqtt":          {"cli/demo"},

	"github.com/elastic/go-seccomp-bpf": {"gateway/website/confine", "gateway/website_test"},
	"github.com/landlock-lsm":           {"gateway/website/confine"},
}

// blind are the standard packages that a package must not import: the policy has no clock of its
// own and does no I/O.
var blind = map[string][]string{
	"gateway/access":   {"os", "net", "io/fs", "log/slog", "context", "sync"},
	"gateway/calendar": {"os", "net", "io/fs", "log/slog", "context", "sync"},
	"gateway/door":     {"os", "net", "io/fs", "log/slog", "context", "sync"},
}

func TestLadder(t *testing.T) {
	seen := map[string]bool{}
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "testdata" || d.Name() == "peers" || strings.HasPrefix(d.Name(), ".") &&
			d.Name() != "..") {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, ".go") {
			return nil
		}
		rel, err := filepath.Rel("..", filepath.Dir(path))
		if err != nil {
			return err
		}
		pkg := filepath.ToSlash(rel)
		seen[pkg] = true
		checkImports(t, pkg, path)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for pkg := range ladder {
		if !seen[pkg] {
			t.Errorf("%s has a rung but no code", pkg)
		}
	}
}

func checkImports(t *testing.T, pkg, path string) {
	t.Helper()
	rung, ok := ladder[pkg]
	if _, known := floors[strings.Split(pkg, "/")[0]]; !ok || !known {
		t.Errorf("%s: package %s has no rung: give it one in gateway/ladder_test.go", path, pkg)
		return
	}
	f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
	if err != nil {
		t.Fatal(err)
	}
	test := strings.HasSuffix(path, "_test.go")
	for _, spec := range f.Imports {
		name, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			t.Fatal(err)
		}
		if own, ours := strings.CutPrefix(name, "latchkey/"); ours {
			if below := ladder[own]; !test && below >= rung {
				t.Errorf("%s imports %s: rung %v may only import lower ones, not %v", path, own, rung, below)
			}
			here, _, _ := strings.Cut(pkg, "/")
			there, _, _ := strings.Cut(own, "/")
			if !test && here != there && floors[there] >= floors[here] {
				t.Errorf("%s imports %s: the folder %s may not import from %s", path, own, here, there)
			}
		}
		for module, users := range alone {
			if (name == module || strings.HasPrefix(name, module+"/")) && !contains(users, pkg) &&
				!(test && contains(users, pkg+"_test")) {
				t.Errorf("%s imports %s: only %s may", path, name, strings.Join(users, ", "))
			}
		}
		for _, std := range blind[pkg] {
			if !test && name == std {
				t.Errorf("%s imports %s: package %s is pure and does no I/O", path, name, pkg)
			}
		}
	}
}

func contains(all []string, one string) bool {
	for _, s := range all {
		if s == one {
			return true
		}
	}
	return false
}
