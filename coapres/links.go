package coapres

import (
	"strconv"
	"strings"
	"time"
)

// MaxPulseAttribute is the attribute of a node's link to /act that gives its longest unlock in
// milliseconds, whatever a command says: </act>;rt="latchkey.act";maxpulse=10000.
const MaxPulseAttribute = "maxpulse"

// ActLink returns a node's link to its own actuator, for its registration and its
// /.well-known/core. With a limit of 0 the link names none.
func ActLink(limit time.Duration) string {
	s := `</act>;rt="latchkey.act";if="core.a";ct=60`
	if limit > 0 {
		s += ";" + MaxPulseAttribute + "=" + strconv.FormatInt(limit.Milliseconds(), 10)
	}
	return s
}

// parseMaxPulse returns the limit that a list of links (RFC 6690 §2) gives for /act, or 0. Of a
// list with mistakes it reads what stands before the first mistake. That is safe, because links are
// for people and never choose what is called.
func parseMaxPulse(links string) time.Duration {
	for links != "" {
		var attributes []string
		var target string
		if target, attributes, links = nextLink(links); target != actPath {
			continue
		}
		for _, a := range attributes {
			name, value, _ := strings.Cut(a, "=")
			if !strings.EqualFold(name, MaxPulseAttribute) {
				continue
			}
			if ms, err := strconv.ParseUint(strings.Trim(value, `"`), 10, 32); err == nil {
				return time.Duration(ms) * time.Millisecond
			}
		}
	}
	return 0
}

// nextLink splits the first link off a list and returns what stands between < and >, its
// attributes, and the rest of the list.
func nextLink(links string) (target string, attributes []string, rest string) {
	links = strings.TrimLeft(links, " \t\r\n,")
	links, ok := strings.CutPrefix(links, "<")
	target, links, closed := strings.Cut(links, ">")
	if !ok || !closed {
		return "", nil, ""
	}
	// Attributes follow, each after a semicolon; a comma ends them. Both may stand in quotes.
	quoted, from := false, 0
	for i := 0; i <= len(links); i++ {
		if i < len(links) && links[i] == '"' {
			quoted = !quoted
		}
		if i < len(links) && (quoted || links[i] != ';' && links[i] != ',') {
			continue
		}
		if a := strings.TrimSpace(links[from:i]); a != "" {
			attributes = append(attributes, a)
		}
		from = i + 1
		if i == len(links) || links[i] == ',' {
			return target, attributes, links[min(from, len(links)):]
		}
	}
	return target, attributes, ""
}
