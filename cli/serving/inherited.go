package serving

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"

	"latchkey/cli/terminal"
)

// inheritedListener is the TCP socket that a service manager hands over as sd_listen_fds(3)
// describes, for the website; nil if there is none. What this process starts must not take it for
// its own, so the variables go.
func inheritedListener() (net.Listener, error) {
	pid, count := os.Getenv("LISTEN_PID"), os.Getenv("LISTEN_FDS")
	for _, name := range []string{"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"} {
		if err := os.Unsetenv(name); err != nil {
			return nil, err
		}
	}
	if count == "" || pid != strconv.Itoa(os.Getpid()) {
		return nil, nil
	}
	if count != "1" {
		return nil, fmt.Errorf("the service manager hands over %s sockets: "+
			"want one, the website's TCP socket", terminal.ShortenWord(count))
	}
	f := os.NewFile(3, "website socket")
	l, err := net.FileListener(f)
	_ = f.Close()
	if err != nil {
		return nil, fmt.Errorf("the socket from the service manager: %w", err)
	}
	if _, ok := l.Addr().(*net.TCPAddr); !ok {
		return nil, errors.Join(fmt.Errorf("the socket from the service manager is %s, no TCP socket",
			l.Addr().Network()), l.Close())
	}
	return l, nil
}
