package webtest

import (
	"crypto/tls"
	"errors"
	"fmt"
	"html"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestMain(m *testing.M) { os.Exit(Run(m)) }

const head = `<!doctype html><html lang="en"><meta name="viewport" content="width=device-width">
<title>Test</title>
<link rel="icon" href="data:,">`

// serveSite serves one page of HTML at "/", takes a form at "/sent", and shows what it sent at
// "/got".
func serveSite(t *testing.T, body string) (origin string) {
	return serveSiteWith(t, Certificate(t), body)
}

func serveSiteWith(t *testing.T, cert tls.Certificate, body string) (origin string) {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy",
			"default-src 'self'; script-src 'self'; img-src * data:; style-src 'unsafe-inline'")
		fmt.Fprint(w, head+"<body><main>"+body+"</main>")
	})
	mux.HandleFunc("GET /page.js", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/javascript")
		fmt.Fprint(w, scripts[r.URL.RawQuery])
	})
	mux.HandleFunc("POST /sent", func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		http.SetCookie(w, &http.Cookie{Name: "form", Value: r.PostForm.Encode(), Secure: true,
			HttpOnly: true})
		http.Redirect(w, r, "/got", http.StatusSeeOther)
	})
	mux.HandleFunc("GET /got", func(w http.ResponseWriter, r *http.Request) {
		got := "nothing"
		if c, err := r.Cookie("form"); err == nil {
			got = c.Value
		}
		fmt.Fprintf(w, "%s<h1>Got it</h1><p>%s", head, html.EscapeString(got))
	})
	mux.HandleFunc("GET /stream", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprint(w, "data: the door opened\n\n")
		http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	mux.HandleFunc("GET /list.csv", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Disposition", "attachment")
		w.Header().Set("Content-Type", "text/csv")
		fmt.Fprint(w, "a,b\n")
	})
	s := httptest.NewUnstartedServer(mux)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	s.StartTLS()
	t.Cleanup(s.Close)
	_, port, err := net.SplitHostPort(s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return "https://localhost:" + port
}

// scripts are the scripts that "/page.js?NAME" serves.
var scripts = map[string]string{
	"error":     `console.error("the lamp", 7, "fell")`,
	"warning":   `console.warn("hot")`,
	"exception": `null.door`,
	"rejection": `Promise.reject(new Error("nobody home"))`,
	"alert":     `alert("hello")`,
	"worker":    `new Worker("/page.js?nothing")`,
	"fetch":     `fetch("/nowhere")`,
	"stream": `new EventSource("/stream").onmessage = e => {
		document.querySelector("p").textContent = e.data
	}`,
	"opener": `document.querySelector("button").onclick = () => open("/got")`,
	"later": `document.querySelector("button").onclick = () => setTimeout(() => {
		document.querySelector("p").textContent = "the lamp is on"
	}, 100)`,
	"live": `let value = ""
	addEventListener("input", e => { value = e.target.value })
	const main = document.querySelector("main"), shown = main.innerHTML
	let n = 0, wait = 8
	const move = () => {
		main.innerHTML = shown
		main.querySelector("p").style.height = n++ % 2 * 40 + "px"
		main.querySelector("input").value = value
		setTimeout(move, wait *= 1.06) // slower and slower, so that the mouse can hit it
	}
	move()`,
	"passkey": `document.querySelector("button").onclick = async () => {
		const k = await navigator.credentials.create({publicKey: {challenge: new Uint8Array(32),
			rp: {name: "Test"}, user: {id: new Uint8Array(16), name: "ann", displayName: "Ann"},
			pubKeyCredParams: [{type: "public-key", alg: -7}, {type: "public-key", alg: -257}],
			authenticatorSelection: {residentKey: "required", userVerification: "required"}}})
		const had = await navigator.credentials.get({publicKey: {challenge: new Uint8Array(32),
			userVerification: "required"}})
		document.querySelector("p").textContent = had.id === k.id ? "the passkey is known" : "another passkey"
	}`,
}

func TestProblemsAreNoticed(t *testing.T) {
	t.Parallel()
	b := Start(t)
	for name, tc := range map[string]struct {
		body string
		want []string
	}{
		"an error in the console": {`<script src="/page.js?error"></script>`,
			[]string{`console error: "the lamp" 7 "fell"`}},
		"a warning in the console": {`<script src="/page.js?warning"></script>`,
			[]string{`console warning: "hot"`}},
		"an exception": {`<script src="/page.js?exception"></script>`,
			[]string{"exception: Uncaught TypeError"}},
		"a rejected promise that nobody handles": {`<script src="/page.js?rejection"></script>`,
			[]string{"nobody home"}},
		"a script that the CSP stops": {`<script>document.title = "in"</script>`,
			[]string{"Content Security Policy"}},
		"a style sheet that CSP stops": {`<link rel="stylesheet" href="https://elsewhere.example/a.css">`,
			[]string{"Content Security Policy", "another host"}},
		"a request to another host": {`<img src="https://elsewhere.example/a.png" alt="">`,
			[]string{"request to another host: https://elsewhere.example/a.png",
				"net::ERR_NAME_NOT_RESOLVED"}},
		"a request to another address": {`<img src="https://192.0.2.1/a.png" alt="">`,
			[]string{"request to another host: https://192.0.2.1/a.png", "net::ERR_NAME_NOT_RESOLVED"}},
		"a request to another port": {`<img src="https://localhost:1/a.png" alt="">`,
			[]string{"request to another host: https://localhost:1/a.png", "net::ERR_"}},
		"a missing picture":  {`<img src="/a.png" alt="">`, []string{"status of 404"}},
		"a fetch that fails": {`<script src="/page.js?fetch"></script>`, []string{"/nowhere"}},
		"a dialog": {`<script src="/page.js?alert"></script>`,
			[]string{"dialog: alert: hello"}},
		"a worker": {`<script src="/page.js?worker"></script>`,
			[]string{"worker whose requests nobody watches"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := b.Page(t, Options{Site: serveSite(t, tc.body)})
			p.Open("/")
			for _, want := range tc.want {
				p.Expect(want) // fails the test if the problem does not come
			}
		})
	}
}

func TestQuietPageHasNoProblem(t *testing.T) {
	t.Parallel()
	origin := serveSite(t, `<h1>Quiet</h1>`)
	p := Start(t).Page(t, Options{Site: origin})
	p.Open("/")
	p.See("Quiet")
	if got, want := p.Requests(), []string{origin + "/"}; !slices.Equal(got, want) {
		t.Errorf("got requests %q, want %q", got, want)
	}
	if got := p.URL(); got != origin+"/" {
		t.Errorf("got %s, want %s/", got, origin)
	}
}

// ledger is a testing.TB that records failures instead of failing the test.
type ledger struct {
	testing.TB
	said []string
	ends []func()
}

func (l *ledger) Helper()                      {}
func (l *ledger) Cleanup(f func())             { l.ends = append(l.ends, f) }
func (l *ledger) Error(args ...any)            { l.said = append(l.said, fmt.Sprint(args...)) }
func (l *ledger) Errorf(f string, args ...any) { l.said = append(l.said, fmt.Sprintf(f, args...)) }
func (l *ledger) Fatal(args ...any)            { l.Error(args...); runtime.Goexit() }
func (l *ledger) Fatalf(f string, args ...any) { l.Errorf(f, args...); runtime.Goexit() }

// runFailing runs a test and returns all its failure messages.
func runFailing(t *testing.T, test func(testing.TB)) string {
	t.Helper()
	l := &ledger{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			for _, f := range l.ends {
				f()
			}
		}()
		test(l)
	}()
	<-done
	return strings.Join(l.said, "\n")
}

func TestFailuresAreReported(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		body string
		do   func(*Page)
		want []string
	}{
		"at a problem that was not expected": {`<script src="/page.js?error"></script>`,
			func(*Page) {}, []string{"the page had a problem", "the lamp"}},
		"when an expected problem does not come": {`quiet`, func(p *Page) { p.Expect("smoke") },
			[]string{`no problem with ["smoke"]`}},
		"with the visible text when a text is missing": {`<p>the door is shut`,
			func(p *Page) { p.See("open") }, []string{`see "open"`, "it is not there", "the door is shut"}},
		"when a text stays": {`<p>the door is shut`,
			func(p *Page) { p.DontSee("shut") }, []string{`not see "shut"`, "it is there"}},
		"at a missing button": {`<button>Lock</button>`,
			func(p *Page) { p.Click("Unlock") }, []string{`nothing of that kind is called "Unlock"`, "Lock"}},
		"at a button that is hidden": {`<button hidden>Unlock</button>`,
			func(p *Page) { p.Click("Unlock") }, []string{`nothing of that kind`}},
		"at a disabled button": {`<button disabled>Unlock</button>`,
			func(p *Page) { p.Click("Unlock") }, []string{"it is disabled"}},
		"at a button under something else": {
			`<button>Unlock</button><div style="position:fixed;inset:0">wait</div>`,
			func(p *Page) { p.Click("Unlock") }, []string{"in front of it"}},
		"at two buttons with the same name": {`<button>Unlock</button><button>Unlock</button>`,
			func(p *Page) { p.Click("Unlock") }, []string{"2 things are called"}},
		"at a field without a label": {`Name <input name="a">`,
			func(p *Page) { p.Fill("Name", "Ann") }, []string{`nothing of that kind is called "Name"`}},
		"at a missing option": {`<label>Lamp <select><option>Hall</select></label>`,
			func(p *Page) { p.Select("Lamp", "Porch") }, []string{"no such option, but Hall"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, origin := Start(t), serveSite(t, tc.body)
			got := runFailing(t, func(tb testing.TB) {
				p := b.Page(tb, Options{Site: origin})
				p.Open("/")
				p.patience = time.Second
				tc.do(p)
			})
			for _, want := range tc.want {
				if !strings.Contains(got, want) {
					t.Errorf("got %q, want it to say %q", got, want)
				}
			}
		})
	}
}

func TestTrustsItsOwnAuthorityAlone(t *testing.T) {
	t.Parallel()
	other, err := newAuthority()
	if err != nil {
		t.Fatal(err)
	}
	cert, err := other.certificate("localhost")
	if err != nil {
		t.Fatal(err)
	}
	wrong, err := other.certificate("elsewhere.example")
	if err != nil {
		t.Fatal(err)
	}
	mine := StartTrusting(t, other.cert)
	for name, tc := range map[string]struct {
		b    *Browser
		cert tls.Certificate
		want string
	}{
		"another authority":                {Start(t), cert, "net::ERR_CERT_AUTHORITY_INVALID"},
		"a name that is not its own":       {mine, wrong, "net::ERR_CERT_COMMON_NAME_INVALID"},
		"the authority of another browser": {mine, Certificate(t), "net::ERR_CERT_AUTHORITY_INVALID"},
	} {
		t.Run(name, func(t *testing.T) {
			origin := serveSiteWith(t, tc.cert, "in")
			if got := runFailing(t, func(tb testing.TB) {
				tc.b.Page(tb,
					Options{Site: origin}).Open("/")
			}); !strings.Contains(got, tc.want) {
				t.Errorf("got %q, want it to say %q", got, tc.want)
			}
		})
	}
	p := mine.Page(t, Options{Site: serveSiteWith(t, cert, "in")})
	p.Open("/")
	p.See("in")
}

// If a program is missing, tests are not skipped but fail, and say what to install.
func TestSaysWhatIsMissing(t *testing.T) {
	ca, err := newAuthority()
	if err != nil {
		t.Fatal(err)
	}
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatal(err)
	}
	programs := t.TempDir()
	t.Setenv("PATH", programs)
	for _, want := range []string{"no chromium: make deps", "no certutil: make deps"} {
		b, err := launch(ca.cert)
		if err == nil {
			b.close()
			t.Fatalf("got a browser, want %q", want)
		}
		if !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
		if err := os.Symlink(chromium, filepath.Join(programs, "chromium")); err != nil &&
			!errors.Is(err, fs.ErrExist) {
			t.Fatal(err)
		}
	}
	t.Chdir(programs)
	if _, err := axeCore(); err == nil || !strings.Contains(err.Error(), "no axe-core: make deps") {
		t.Errorf("got %v, want it to say that make deps installs axe-core", err)
	}
}

func TestLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	ca, err := newAuthority()
	if err != nil {
		t.Fatal(err)
	}
	b, err := launch(ca.cert)
	if err != nil {
		t.Fatal(err)
	}
	if got := countProcesses(t, b.home); got == 0 {
		t.Error("got no process of the browser, want some")
	}
	b.close()
	if got := countProcesses(t, b.home); got != 0 {
		t.Errorf("got %d processes of a browser that has ended, want none", got)
	}
	if _, err := os.Stat(b.home); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v for the browser's home, want it removed", err)
	}
}

// countProcesses counts the processes that have a folder in their command line.
func countProcesses(t *testing.T, dir string) (n int) {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		// a process whose file cannot be read has just ended
		if line, err := os.ReadFile(f); err == nil && strings.Contains(string(line), dir) {
			n++
		}
	}
	return n
}
