package transport

import (
	"cmp"
	"crypto/rand"
	"errors"
	"slices"

	"latchkey/coapres/transport/record"
	"latchkey/coapres/transport/saved"
)

// suspended is an association that was saved, with its number.
type suspended struct {
	saved.Association
	number uint64
}

// Saved returns the associations that Serve has saved at its end, in the order in which their
// handshakes began. It may be called once, when Serve has returned. Nobody may use a state twice: its
// numbers would be used again, and so its nonces.
func (l *Listener) Saved() []saved.Association {
	l.mu.Lock()
	defer l.mu.Unlock()
	slices.SortFunc(l.saved, func(a, b suspended) int { return cmp.Compare(a.number, b.number) })
	out := make([]saved.Association, len(l.saved))
	for i, s := range l.saved {
		out[i] = s.Association
	}
	l.saved = nil
	return out
}

// end ends the association as [Conn.End] does, or saves it if Config.Save says so.
func (a *association) end() error {
	select {
	case <-a.conn.await(&a.conn.opened):
	case <-a.conn.ctx.Done():
	}
	return a.conn.shut(func() error {
		if a.l.cfg.Save != nil {
			if note, ok := a.l.cfg.Save(a.conn); ok && a.save(note) {
				a.conn.saved = true
				return nil
			}
		}
		return a.Close()
	})
}

// save saves the association, if it can be saved, and removes it. Before anything of it is read,
// it seals no record any more and opens none: so none has a number that the state does not know of.
// An association whose node has sent nothing since the handshake is not saved, because our last
// flight may have been lost.
func (a *association) save(note []byte) bool {
	a.l.mu.Lock()
	ok := a.phase == live && len(a.l.saved) < saved.MaxAssociations
	a.l.mu.Unlock()
	s := saved.Association{Identity: a.conn.identity, PeerCID: a.sealer.CID(), Sealing: a.sealer.Key(),
		Heard: a.conn.LastHeard(), Note: note}
	a.mu.Lock()
	if ok = ok && a.ready && a.last == nil && a.opener != nil; ok {
		s.Home, s.OurCID, s.Opening, s.Window = a.home, a.opener.CID(), a.opener.Key(), a.opener.Window()
	}
	if ok = ok && s.Fits() && !a.mute.Swap(true); ok {
		s.Next, a.opener = a.sealer.End(), nil
	}
	a.mu.Unlock()
	if !ok {
		return false
	}
	a.conn.mu.Lock()
	s.MessageID, s.Tokens = a.conn.exchange.Numbers()
	a.conn.mu.Unlock()
	a.l.dropAssociation(a)
	a.l.mu.Lock()
	defer a.l.mu.Unlock()
	if s.Fits() { // it still has numbers
		a.l.saved = append(a.l.saved, suspended{s, a.number})
	}
	return true
}

// resume lets associations of an earlier process go on, and passes them to Serve.
func (l *Listener) resume() {
	defer close(l.resumed)
	if l.cfg.Resume == nil {
		return
	}
	for _, s := range l.cfg.Resume(l.ctx) {
		c, err := l.restore(s)
		if err != nil {
			l.log.Warn("session not resumed", "addr", s.Home.String(), "err", err)
			continue
		}
		select {
		case l.accepted <- c:
		case <-l.ctx.Done(): // Close ends it
			return
		}
	}
}

// restore makes a live association of a saved one.
func (l *Listener) restore(s saved.Association) (*Conn, error) {
	a := &association{l: l, number: connNumber.Add(1), phase: live, at: s.Home, current: s.Home, home: s.Home,
		proven: true, cancel: func() {}}
	a.identity.Store(&s.Identity)
	a.finished.Store(true)
	switch len(s.OurCID) {
	case 0:
		_, _ = rand.Read(a.cid[:]) // never fails
	case record.CIDSize:
		a.cid = [record.CIDSize]byte(s.OurCID)
		a.usesCID.Store(true)
	default:
		return nil, errors.New("transport: its connection ID has another length")
	}
	var err error
	if a.sealer, err = s.Sealer(); err != nil {
		return nil, err
	}
	if a.opener, err = s.Opener(); err != nil {
		return nil, err
	}
	c := newConn(a, a.number, s.Identity)
	c.shared, c.note = &l.shared, s.Note
	c.exchange.Continue(s.MessageID, s.Tokens)
	c.heard.Store(min(0, int64(s.Heard.Sub(c.began))))
	a.conn = c

	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.peers[a.at]
	if p == nil {
		p = &peer{}
	}
	switch byAddress := p.live != nil && !p.live.usesCID.Load(); {
	case l.ctx.Err() != nil, l.sessions >= l.cfg.MaxSessions:
		return nil, errors.New("transport: no room")
	case l.cids[a.cid] != nil, byAddress && !a.usesCID.Load():
		return nil, errors.New("transport: another session has its connection ID or its address")
	case !byAddress:
		p.live = a
	}
	l.peers[a.at], l.cids[a.cid], l.holders[s.Identity] = p, a, a
	l.sessions++
	l.budget.NoteProven(s.Identity, a.at.Addr())
	return c, nil
}

// Resumed tells whether the association goes on from an earlier process, and returns the note that
// was saved with it. Nothing has been heard of the other side yet, and it remembers no Echo.
func (c *Conn) Resumed() (note []byte, ok bool) { return c.note, c.note != nil }

// Saved tells, once the association has ended, whether it was saved and goes on in another process.
func (c *Conn) Saved() bool { return c.saved }
