package website_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/elastic/go-seccomp-bpf"
	"golang.org/x/sys/unix"

	"latchkey/gateway/limit"
	"latchkey/gateway/website"
	"latchkey/gateway/website/confine"
)

// childRole is the environment variable that makes this test binary the website's child.
const childRole = "LATCHKEY_TEST_WEBSITE"

func TestMain(m *testing.M) {
	if role := os.Getenv(childRole); role != "" {
		os.Exit(childMain(role))
	}
	// The gateway is not dumpable either.
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

func makeBounds(strict bool) confine.Bounds {
	return confine.Bounds{Files: 1024, Data: 192 << 20, OOMScore: 900, Strict: strict}
}

// childMain is a website for tests. It serves a few pages, and makes the attacks of somebody who
// has taken it over.
func childMain(role string) int {
	if role == "unfit" { // as on a kernel without seccomp: an outer filter refuses further filters
		if err := disableSeccomp(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	site, err := website.Enter(makeBounds(role == "strict"))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Fprintln(os.Stderr, "level=INFO msg=confined settings="+string(site.Settings))
	api := http.Client{Transport: site}
	mux := http.NewServeMux()
	mux.HandleFunc("/hello", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.RemoteAddr)
	})
	mux.HandleFunc("/api/", func(w http.ResponseWriter, r *http.Request) {
		in, _ := http.NewRequestWithContext(r.Context(), http.MethodGet, "http://gateway"+r.URL.Path,
			http.NoBody)
		resp, err := api.Do(in)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		defer func() { _ = resp.Body.Close() }()
		w.WriteHeader(resp.StatusCode)
		out := http.NewResponseController(w)
		b := make([]byte, 4096)
		for {
			n, err := resp.Body.Read(b)
			_, _ = w.Write(b[:n])
			_ = out.Flush()
			if err != nil {
				return
			}
		}
	})
	mux.Handle("/pass/", http.StripPrefix("/pass", site))
	mux.HandleFunc("/panic", func(http.ResponseWriter, *http.Request) {
		go func() { panic("a mistake of ours\x1b[2J") }()
		time.Sleep(time.Minute)
	})
	mux.HandleFunc("/slow", func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush()
		<-site.Stopping()
		_, _ = io.WriteString(w, "to the end")
	})
	mux.HandleFunc("/forge", func(w http.ResponseWriter, r *http.Request) {
		status, err := site.Forge(r.URL.Query().Get("id"))
		_, _ = fmt.Fprint(w, status)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	})
	mux.HandleFunc("/cut", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprint(w, "cut: ", site.Cut())
	})
	mux.HandleFunc("/attack", func(w http.ResponseWriter, r *http.Request) {
		n, _ := strconv.Atoi(r.URL.Query().Get("parent"))
		_, _ = io.WriteString(w, runAttack(r.URL.Query().Get("what"), r.URL.Query().Get("dir"), n))
	})
	listener := limit.NewListener(site, limit.Connections{All: 300, EachAddr: 300, Known: 100, EachKnown: 100,
		Idle: time.Minute})
	listener.Known = site.Known
	who := func(r *http.Request) limit.Client { return limit.Client{Account: r.Header.Get("Account")} }
	generous := limit.Class{All: limit.Budget{Requests: 300, Bytes: 1 << 20},
		Each: limit.Budget{Requests: 300, Bytes: 1 << 20}, Body: 1 << 10, Read: time.Minute,
		Write: time.Minute}
	server := &http.Server{Handler: limit.NewHandler(mux, who, limit.Requests{Strangers: generous,
		Known: generous}), ConnContext: func(ctx context.Context, c net.Conn) context.Context {
		return listener.ConnContext(site.ConnContext(ctx, c), c)
	}, TLSConfig: &tls.Config{GetCertificate: site.Certificate, NextProtos: []string{"h2", "http/1.1",
		"acme-tls/1"}}, ErrorLog: nil}
	done := make(chan struct{})
	go func() {
		<-site.Stopping()
		ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
		defer cancel()
		_ = server.Shutdown(ctx)
		close(done)
	}()
	_ = server.ServeTLS(listener, "", "")
	<-done
	return 0
}

// runAttack makes one attack and returns its result.
func runAttack(what, dir string, parent int) string {
	try, ok := attacks[what]
	if !ok {
		return "no such attack"
	}
	if err := try(dir, parent); err != nil {
		return "refused: " + err.Error()
	}
	return "done"
}

// call makes a system call by its number, so that no library is in between.
func call(number uintptr, args ...uintptr) error {
	var a [6]uintptr
	copy(a[:], args)
	if _, _, errno := unix.Syscall6(number, a[0], a[1], a[2], a[3], a[4], a[5]); errno != 0 {
		return errno
	}
	return nil
}

func connect(network, addr string) error {
	c, err := net.DialTimeout(network, addr, time.Second)
	if err == nil {
		if _, err = c.Write([]byte("x")); err == nil {
			err = c.Close()
		}
	}
	return err
}

func proc(pid int, name string) string { return "/proc/" + strconv.Itoa(pid) + "/" + name }

func read(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	_, err = f.Read(make([]byte, 1))
	return err
}

// disableSeccomp makes the kernel look to this process like one without seccomp filters.
func disableSeccomp() error {
	return seccomp.LoadFilter(seccomp.Filter{NoNewPrivs: true, Flag: seccomp.FilterFlagTSync,
		Policy: seccomp.Policy{DefaultAction: seccomp.ActionAllow,
			Syscalls: []seccomp.SyscallGroup{{Names: []string{"seccomp"},
				Action: seccomp.ActionErrno | seccomp.Action(unix.ENOSYS)}}}})
}
