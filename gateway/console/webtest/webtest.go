// Package webtest runs a website in Chromium for tests. Tests name what to click, fill and see as a
// person does, and a test fails at any problem that the page has. It does not know the console's
// pages, and only tests import it.
package webtest

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// patience bounds each wait of a helper.
const patience = time.Minute

// Browser is one Chromium process with its own profile, which is removed when it ends.
type Browser struct {
	ctx   context.Context // chromedp's, by which its calls find the browser
	home  string          // the folder for all that it writes; removed when it ends
	close func()
}

// shared is the browser of a test binary. It runs from the first Start until the end of Run.
var shared struct {
	mu      sync.Mutex
	running bool     // guarded by mu; whether Run is running, which ends the browser
	browser *Browser // guarded by mu
}

// Run runs the tests of a binary, ends the browser that they shared, and returns the exit status.
// TestMain calls it.
func Run(m *testing.M) int {
	shared.mu.Lock()
	shared.running = true
	shared.mu.Unlock()
	code := m.Run()
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if shared.browser != nil {
		shared.browser.close()
	}
	return code
}

// Start returns the browser that the tests of this binary share. It trusts what [Certificate]
// returns and nothing else.
func Start(t testing.TB) *Browser {
	t.Helper()
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if !shared.running {
		t.Fatal("webtest: TestMain must call webtest.Run, which ends the browser")
	}
	if shared.browser == nil {
		ca, err := ownCA()
		if err != nil {
			t.Fatal(err)
		}
		if shared.browser, err = launch(ca.cert); err != nil {
			t.Fatal(err)
		}
	}
	return shared.browser
}

// StartTrusting returns a browser for one test, which trusts only one certificate authority and
// ends with the test. It takes half a second longer than [Start].
func StartTrusting(t testing.TB, ca *x509.Certificate) *Browser {
	t.Helper()
	b, err := launch(ca)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.close)
	return b
}

// launch starts Chromium with a home of its own, which holds the certificates that it trusts.
func launch(ca *x509.Certificate) (*Browser, error) {
	program, err := exec.LookPath("chromium")
	if err != nil {
		return nil, errors.New("webtest: no chromium: make deps installs it, " +
			"or apt-get install chromium fonts-dejavu-core libnss3-tools")
	}
	home, err := os.MkdirTemp("", "webtest-")
	if err != nil {
		return nil, err
	}
	if err := trust(home, ca); err != nil {
		os.RemoveAll(home)
		return nil, err
	}
	alloc, end := chromedp.NewExecAllocator(context.Background(), makeFlags(program, home)...)
	ctx, _ := chromedp.NewContext(alloc)
	stop := func() {
		// If we ask Chromium to end, it ends its child processes first. If we killed it, they would
		// still write into the folder for a moment.
		bound, cancel := context.WithTimeout(ctx, patience)
		_ = chromedp.Cancel(bound)
		cancel()
		end()
		os.RemoveAll(home)
	}
	if err := chromedp.Do(ctx); err != nil {
		stop()
		return nil, fmt.Errorf("webtest: start chromium: %w", err)
	}
	return &Browser{ctx: ctx, home: home, close: stop}, nil
}

// makeFlags returns options for a Chromium that connects only to this machine and takes nothing
// from the environment: no proxy and no secret.
func makeFlags(program, home string) []chromedp.ExecAllocatorOption {
	return append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(program),
		chromedp.UserDataDir(filepath.Join(home, "profile")),
		chromedp.NoInheritEnv,
		chromedp.Env("HOME="+home, "TMPDIR="+home, "PATH="+os.Getenv("PATH"), "LANG=C.UTF-8", "TZ=UTC"),
		chromedp.Flag("headless", "new"),
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1"),
		chromedp.Flag("no-proxy-server", true),
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-gpu", true),
		chromedp.Flag("lang", "en-US"),
		// The renderers need most of the memory. A test has one or two pages.
		chromedp.Flag("renderer-process-limit", "4"),
		chromedp.Flag("js-flags", "--max-old-space-size=256"),
		chromedp.Flag("disk-cache-size", "16777216"),
	)
}

// trust writes the database of the certificate authorities that a user of Chromium has added.
// Chromium reads it once, when it starts.
func trust(home string, ca *x509.Certificate) error {
	db, file := filepath.Join(home, ".pki", "nssdb"), filepath.Join(home, "ca.pem")
	if err := os.MkdirAll(db, 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.Raw}),
		0o600); err != nil {
		return err
	}
	for _, args := range [][]string{{"-N", "--empty-password"}, {"-A", "-n", "test", "-t", "C,,", "-i",
		file}} {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		out, err := exec.CommandContext(ctx, "certutil", append([]string{"-d", "sql:" + db},
			args...)...).CombinedOutput()
		cancel()
		if errors.Is(err, exec.ErrNotFound) {
			return errors.New("webtest: no certutil: make deps installs it, or apt-get install libnss3-tools")
		}
		if err != nil {
			return fmt.Errorf("webtest: certutil %s: %w: %s", args[0], err, out)
		}
	}
	return nil
}
