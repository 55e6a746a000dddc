package doctor

import (
	"fmt"

	"github.com/dustin/go-humanize"
	"github.com/dustin/go-humanize/english"

	"latchkey/gateway/audit"
	"latchkey/gateway/text"
)

// Finding is one thing that is wrong.
type Finding struct {
	Code   string      `json:"code" doc:"a cause of failed handshakes, or no-traffic, offline, late, pulse, alarm, clock, store, space, slow, website, retention, sink, integration, rollback"`
	Device audit.Named `json:"device,omitzero"`
	Text   string      `json:"text" doc:"what was found, for people"`
	Do     string      `json:"do" doc:"what to do about it"`
	Event  uint64      `json:"event,omitempty" doc:"of code rollback: the number with which it is acknowledged, as an alarm is"`
}

// Codes of findings that are not causes of a failed handshake.
const (
	codeNoTraffic = "no-traffic" // nothing has come with any of the device's identities
	codeOffline   = "offline"    // it was connected, and is not now
	codeAlarm     = "alarm"      // an alarm that nobody has acknowledged
	codeLate      = "late"       // scans come so late that they are not decided
	codePulse     = "pulse"      // a door's pulse is longer than its lock holds
)

// Codes of findings that keep every door shut, or may soon.
const (
	CodeClock = "clock"
	CodeStore = "store"
	CodeSpace = "space"
	CodeSlow  = "slow"
)

// HealthCodes are the codes that [CheckHealth] uses.
var HealthCodes = []string{CodeStore, CodeSpace, CodeSlow, CodeClock}

// CodeWebsite is the code of a finding about the website. It keeps no door shut.
const CodeWebsite = "website"

// CodeRetention is the code of a finding about old events that cannot be removed.
const CodeRetention = "retention"

// CodeRollback is the code of a finding about a store that is or may be an older copy. It keeps no door
// shut.
const CodeRollback = "rollback"

// Codes of findings about other people's servers. They keep no door shut.
const (
	CodeSink        = "sink"        // it is paused or far behind, or its server has refused events
	CodeIntegration = "integration" // it is paused, or has no connection
)

// StoreFinding returns the finding about a store that has failed.
func StoreFinding(err error) Finding {
	return Finding{Code: CodeStore, Do: "restart the gateway",
		Text: "nothing can be decided, every door stays shut: " + text.MakePlain(err.Error())}
}

// ClockFinding returns the finding about a clock that is not trusted.
func ClockFinding(why string) Finding {
	return Finding{Code: CodeClock, Do: "set this machine's clock right",
		Text: "the clock is not trusted, so what depends on the time denies: " + why}
}

// SpaceFinding returns the finding about a disk that is full, or nearly. held is how many
// restrictions are in effect but not durable.
func SpaceFinding(free, least uint64, held int, err error) Finding {
	f := Finding{Code: CodeSpace,
		Text: fmt.Sprintf("%s are free on the disk of the data; below %s no door opens",
			humanize.Bytes(free), humanize.Bytes(least)),
		Do: "free some space, or move the data folder to a larger disk while the gateway is stopped"}
	if err != nil {
		f.Text = "the free space on the disk of the data is not known, so no door opens: " +
			text.MakePlain(err.Error())
	}
	if held > 0 {
		f.Text += fmt.Sprintf("; %s NOT durable",
			english.Plural(held, "restriction acts in memory and is", "restrictions act in memory and are"))
	}
	return f
}

// Confinement says how the website's process is confined.
type Confinement struct {
	Running bool   `json:"running" doc:"false when it cannot be confined: then there is no website"`
	Lacks   string `json:"lacks,omitempty" doc:"what this machine's kernel does not have of the protection"`
}

// ConfinementFinding returns the finding about a website that does not run because it cannot be
// confined.
func ConfinementFinding(lacks string) Finding {
	return Finding{Code: CodeWebsite, Text: "there is no website, because this machine's kernel lacks " +
		text.MakePlain(lacks),
		Do: "start a kernel that has it, allow the gateway to use it, or run serve --console off"}
}
