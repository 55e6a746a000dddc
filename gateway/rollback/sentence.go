package rollback

import (
	"fmt"

	"github.com/dustin/go-humanize"

	"latchkey/gateway/access"
	"latchkey/gateway/audit"
)

// access.Reason to do about a finding.
const (
	doOlder = "take away again what must not be allowed, or stop the gateway and put back the newest copy of " +
		"the data folder"
	doFile = "find out who removed or changed it; look whether what you took away lately is still so"
	doNode = "find out whether an older copy of the data folder, or of the whole disk, was put back. If so, " +
		"take away again what must not be allowed; if not, what the device says is wrong: look at it"
	doWrong = "look at the device: its program is wrong, or somebody else has its key"
)

// text returns the finding in words, and what to do about it.
func (f finding) text(p *access.Policy) (text, do string) {
	device, command := f.name(p).Name, humanize.Comma(int64(f.from))
	end := humanize.Comma(int64(f.at.seq))
	switch f.what {
	case audit.ReasonOlderCopy:
		return fmt.Sprintf("this store is an older copy: %s missing; %s", f.events(), f.undone()), doOlder
	case audit.ReasonOtherChain:
		return fmt.Sprintf("this store has other events in place of %s, so an older copy went on; %s",
			f.events(), f.undone()), doOlder
	case audit.ReasonNoFile:
		return "head.log is gone: whether this store is an older copy is not known before event " + end, doFile
	case audit.ReasonBadFile:
		return "head.log was damaged, and a part of it is lost: whether this store is an older copy is not " +
			"known for sure before event " + end, doFile
	case audit.ReasonNodeAhead:
		if f.to > f.at.epoch {
			return fmt.Sprintf("%s obeyed command %s after a restore of which this store knows nothing: it is "+
				"of epoch %d, and the command is of epoch %d; what lay between is not known", device, command,
				f.at.epoch, f.to), doNode
		}
		return fmt.Sprintf("%s obeyed command %s and this store ends at %s; what lay between is not known",
			device, command, end), doNode
	case audit.ReasonNodeOther:
		return fmt.Sprintf("%s obeyed command %s, but event %s of this store is no command to it: this store "+
			"may be an older copy that went on; what it lacks is not known", device, command, command), doNode
	}
	if f.from <= f.at.seq {
		return fmt.Sprintf("%s says that it obeyed command %s, which cannot be: event %s is no command, and "+
			"head.log shows that it never was another", device, command, command), doWrong
	}
	return fmt.Sprintf("%s says that it obeyed command %s, which cannot be: this store ends at %s, and cannot "+
		"have had so many events", device, command, end), doWrong
}

// events names the events that the store lacks.
func (f finding) events() string {
	if f.from >= f.to {
		return "event " + humanize.Comma(int64(f.to)) + isOrAre(f.what, "is")
	}
	return fmt.Sprintf("events %s–%s", humanize.Comma(int64(f.from)), humanize.Comma(int64(f.to))) +
		isOrAre(f.what, "are")
}

func isOrAre(w access.Reason, verb string) string {
	if w == audit.ReasonOlderCopy {
		return " " + verb
	}
	return ""
}

// undone says what may be undone.
func (f finding) undone() string {
	all := f.counts.String()
	switch {
	case all == "" && f.vague&atLeast != 0:
		return "what may be undone is not known, as head.log began later"
	case all == "":
		return "nothing was taken away in them"
	}
	switch f.vague {
	case atMost:
		all = "at most " + all
	case atLeast:
		all = "at least " + all
	case atMost | atLeast:
		all = "about " + all
	}
	return all + " among them may be undone"
}
