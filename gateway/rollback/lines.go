package rollback

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"latchkey/gateway/access"
	"latchkey/keys"
)

const (
	prefix   = "latchkey-head-log-1 "
	maxFile  = 1 << 20 // bytes that are read
	maxLine  = 2000
	macChars = 26 // 130 bits
)

// access.Reason can be wrong with a file.
var (
	errOtherSite = errors.New("it belongs to another site")
	errDamaged   = errors.New("it is not as it was written")
)

var crockford = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

// point is an event of the chain.
type point struct {
	epoch, seq uint64
	hash       keys.Hash
}

func (p point) String() string {
	return fmt.Sprintf("%d %d %s", p.epoch, p.seq, hex.EncodeToString(p.hash[:]))
}

// verb is the first word of a line.
type verb string

const (
	verbBegan verb = "began" // the file knows nothing of before this event
	verbHead  verb = "head"  // the newest event at some time
	verbTook  verb = "took"  // this policy event took something away
	verbFold  verb = "fold"  // so did events from one up to this one
	verbFound verb = "found" // something is wrong with the store or with what a device says
	verbTold  verb = "told"  // this event says so
	verbSeen  verb = "seen"  // somebody has acknowledged it
)

// line is one line of the file. Fields that the verb does not have are zero.
type line struct {
	verb   verb
	at     point
	from   uint64        // verbFold, verbFound
	to     uint64        // verbFound
	what   access.Reason // verbFound
	device access.ID
	number uint64 // of the finding: verbFound, verbTold, verbSeen
	event  uint64 // verbTold
	vague  vague  // verbFound
	counts Counts
}

// String returns the line without its code and its end.
func (l line) String() string {
	switch l.verb {
	case verbFold:
		return fmt.Sprintf("%s %v %d%s", l.verb, l.at, l.from, l.counts.codes())
	case verbFound:
		device := string(l.device)
		if device == "" {
			device = "-"
		}
		return fmt.Sprintf("%s %v %d %s %d %d %s %d%s", l.verb, l.at, l.number, l.what, l.from, l.to, device,
			l.vague, l.counts.codes())
	case verbTold:
		return fmt.Sprintf("%s %d %d", l.verb, l.number, l.event)
	case verbSeen:
		return fmt.Sprintf("%s %d", l.verb, l.number)
	}
	return fmt.Sprintf("%s %v%s", l.verb, l.at, l.counts.codes())
}

// parseLine reads what String returns, and nothing else.
func parseLine(text string) (line, bool) {
	w := words{rest: strings.Split(text, " "), ok: true}
	l := line{verb: verb(w.next())}
	switch l.verb {
	case verbTold:
		l.number, l.event = w.number(), w.number()
	case verbSeen:
		l.number = w.number()
	case verbBegan, verbHead, verbTook, verbFold, verbFound:
		l.at = point{w.number(), w.number(), w.hash()}
		if l.verb == verbFold {
			l.from = w.number()
		}
		if l.verb == verbFound {
			l.number, l.what = w.number(), access.Reason(w.next())
			l.from, l.to = w.number(), w.number()
			if id := w.next(); id != "-" {
				l.device = access.ID(id)
			}
			n := w.number()
			l.vague = vague(n)
			w.ok = w.ok && n <= uint64(atMost|atLeast) && isWhat(l.what) && (l.device == "" || l.device.Valid())
		}
		if l.verb != verbBegan && l.verb != verbHead {
			l.counts = w.counts()
		}
	default:
		return line{}, false
	}
	return l, w.ok && len(w.rest) == 0 && l.String() == text
}

// words are the rest of a line that is parsed.
type words struct {
	rest []string
	ok   bool
}

func (w *words) next() (word string) {
	if len(w.rest) == 0 {
		w.ok = false
		return ""
	}
	word, w.rest = w.rest[0], w.rest[1:]
	return word
}

func (w *words) number() uint64 {
	n, err := strconv.ParseUint(w.next(), 10, 64)
	w.ok = w.ok && err == nil
	return n
}

func (w *words) hash() (h keys.Hash) {
	b, err := hex.DecodeString(w.next())
	if err != nil || len(b) != len(h) {
		w.ok = false
		return h
	}
	return keys.Hash(b)
}

func (w *words) counts() (c Counts) {
	for len(w.rest) > 0 {
		code, count, _ := strings.Cut(w.next(), "=")
		k, ok := findKind(code)
		n, err := strconv.ParseUint(count, 10, 32)
		if w.ok = w.ok && ok && err == nil; w.ok {
			c[k] = uint32(n)
		}
	}
	return c
}

// codes computes the codes of lines: each covers its line and all before it.
type codes struct {
	key  []byte
	last []byte
}

func (c *codes) sign(text string) string {
	m := hmac.New(sha256.New, c.key)
	m.Write(c.last)
	m.Write([]byte(text))
	c.last = m.Sum(nil)
	return crockford.EncodeToString(c.last)[:macChars]
}

// encode appends the line with its code, and moves the codes on.
func (c *codes) encode(dst []byte, text string) []byte {
	return fmt.Appendf(dst, "%s %s\n", text, c.sign(text))
}

// parse reads a file. It returns what the lines before the first wrong one say, and for a wrong line
// errDamaged or, where the file begins so, errOtherSite. Half a line at the end, which a power cut
// leaves, is no error.
func parse(b []byte, site access.ID, key []byte) (st state, err error) {
	if len(b) > maxFile {
		return st, fmt.Errorf("%w: it has more than %d bytes", errDamaged, maxFile)
	}
	c := codes{key: key}
	for n := 1; len(b) > 0; n++ {
		raw, rest, whole := bytes.Cut(b, []byte{'\n'})
		if !whole || len(rest) == 0 && bytes.IndexByte(raw, 0) >= 0 {
			break // a power cut: a line without its end, or whose first block was not written
		}
		b = rest
		text, code, _ := cutLast(string(raw))
		switch {
		case n == 1 && strings.HasPrefix(text, prefix) && text != prefix+string(site):
			return st, errOtherSite
		case len(raw) > maxLine || !hmac.Equal([]byte(c.sign(text)), []byte(code)):
			return st, fmt.Errorf("%w, from line %d on", errDamaged, n)
		case n == 1 && text == prefix+string(site):
			continue
		}
		l, ok := parseLine(text)
		if !ok {
			return st, fmt.Errorf("%w, from line %d on", errDamaged, n)
		}
		st.apply(l)
	}
	return st, nil
}

// cutLast cuts the text at its last space.
func cutLast(s string) (before, last string, ok bool) {
	i := strings.LastIndexByte(s, ' ')
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+1:], true
}
