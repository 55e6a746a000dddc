package device

import (
	"context"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/plgd-dev/go-coap/v3/message/codes"

	"latchkey/coapres/wire"
)

// Scan holds a card to the reader until there is a verdict, and then takes it away.
func (p *Program) Scan(ctx context.Context, uid []byte) (wire.Verdict, error) {
	return p.ask(ctx, "!card "+hex.EncodeToString(uid), "!card")
}

// Ask presses the button of a switch. It can only toggle the switch's own target.
func (p *Program) Ask(ctx context.Context, target string, a wire.Action, _ uint8) (wire.Verdict, error) {
	if target != p.cfg.Target || a != wire.Toggle {
		return wire.Verdict{}, fmt.Errorf("device: %s has one button: it toggles %s", p.cfg.Name,
			p.cfg.Target)
	}
	return p.ask(ctx, "!button 1", "!button 0")
}

func (p *Program) ask(ctx context.Context, begin, end string) (wire.Verdict, error) {
	select {
	case p.turn <- struct{}{}:
		defer func() { <-p.turn }()
	case <-ctx.Done():
		return wire.Verdict{}, ErrNoVerdict
	}
	select {
	case <-ctx.Done():
		return wire.Verdict{}, ErrNoVerdict
	case <-time.After(time.Until(p.removed.Add(CardAway))):
	}
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	mark := p.Mark()
	p.Tell(begin)
	line, err := p.Await(ctx, mark, " log verdict ", " log no verdict", " log counter cannot be kept",
		" log the one before has no verdict yet")
	p.Tell(end)
	p.removed = time.Now()
	if err != nil {
		return wire.Verdict{}, fmt.Errorf("%w: %w", ErrNoVerdict, err)
	}
	return parseVerdict(line)
}

// parseVerdict reads "COUNT log verdict granted LAST", or the line that says why there is none.
func parseVerdict(line string) (wire.Verdict, error) {
	_, text, _ := strings.Cut(line, " log ")
	n, err := strconv.ParseUint(text[strings.LastIndexByte(text, ' ')+1:], 10, 53)
	if err != nil {
		return wire.Verdict{}, fmt.Errorf("device: %q: %w", text, err)
	}
	for _, o := range []wire.Outcome{wire.Denied, wire.Granted, wire.Retry} {
		if strings.HasPrefix(text, "verdict "+o.String()+" ") {
			return wire.Verdict{Verdict: o, Last: n}, nil
		}
	}
	switch {
	case strings.HasPrefix(text, "no verdict, code"):
		return wire.Verdict{}, &CodeError{Code: codes.Code(n)}
	case strings.HasPrefix(text, "no verdict, never fresh"):
		return wire.Verdict{}, ErrNotFresh
	case strings.Contains(text, "counter cannot be kept"):
		return wire.Verdict{}, fmt.Errorf("device: %s", text)
	}
	return wire.Verdict{}, ErrNoVerdict
}

// State returns the actuator's state.
func (p *Program) State() wire.State {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.state
}

// Sessions returns how many handshakes were completed since the program was first started.
func (p *Program) Sessions() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.count
}

// Moves returns how often the output was switched on since the program was first started.
func (p *Program) Moves() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.moves
}
