package coapres

import (
	"strconv"
	"strings"
	"time"
)

// MaxPulseAttribute is the attribute of a node's link to /act that gives its longest unlock in
// milliseconds, whatever a command says: </act>;rt="latchkey.act";maxpulse=10000.
const MaxPulseAttribute = "maxpulse"

// EpochAttribute is the attribute of a link to /act of a node that knows the epoch in a command, and
// tells the newest command that it obeyed.
const EpochAttribute = "epoch"

// ActLink returns a node's link to its own actuator, for its registration and its
// /.well-known/core. With a limit of 0 the link names none.
func ActLink(limit time.Duration) string {
	s := `</act>;rt="latchkey.act";if="core.a";ct=60;` + EpochAttribute
	if limit > 0 {
		s += ";" + MaxPulseAttribute + "=" + strconv.FormatInt(limit.Milliseconds(), 10)
	}
	return s
}

// parseActLink returns the limit that a list of links (RFC 6690 §2) gives for /act, or 0, and whether
// the node knows epochs. Of a list with mistakes it reads what stands before the first mistake. That
// is safe, because links are for people and never choose what is called.
func parseActLink(links string) (limit time.Duration, epoch bool) {
	for links != "" {
		var attributes []string
		var target string
		if target, attributes, links = nextLink(links); target != actPath {
			continue
		}
		for _, a := range attributes {
			name, value, _ := strings.Cut(a, "=")
			epoch = epoch || strings.EqualFold(name, EpochAttribute)
			if !strings.EqualFold(name, MaxPulseAttribute) || limit != 0 {
				continue
			}
			if ms, err := strconv.ParseUint(strings.Trim(value, `"`), 10, 32); err == nil {
				limit = time.Duration(ms) * time.Millisecond
			}
		}
	}
	return limit, epoch
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
