package demo

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"latchkey/cli/terminal"
	"latchkey/coapres/device"
	"latchkey/coapres/wire"
	"latchkey/keys"
	"latchkey/keys/provision"
)

// cast says which programs play the nodes of the demo.
type cast struct {
	programs string // folder of the firmware's programs, one per kind; empty: simulated nodes
	verbose  bool   // show what these programs log
}

const (
	firmwareFlag    = "firmware"
	firmwareDirFlag = "firmware-dir"
	verboseFlag     = "verbose"
	firmwareEnv     = "LATCHKEY_FIRMWARE"
)

func castFlags() []cli.Flag {
	return []cli.Flag{
		&cli.BoolFlag{Name: firmwareFlag,
			Usage: "nodes that run the firmware, as processes of this machine, instead of simulated ones"},
		&cli.StringFlag{Name: firmwareDirFlag, EnvVars: []string{firmwareEnv}, TakesFile: true,
			Usage: "`folder` with the programs of make firmware-host; default: firmware, beside " +
				"this program"},
		&cli.BoolFlag{Name: verboseFlag, Usage: "with --firmware: show what the nodes log"},
	}
}

func chooseCast(c *cli.Context) (cast, error) {
	if !c.Bool(firmwareFlag) {
		if c.Bool(verboseFlag) || c.IsSet(firmwareDirFlag) && os.Getenv(firmwareEnv) == "" {
			return cast{}, terminal.WrongUse(c, "--%s and --%s go with --%s: add it", verboseFlag,
				firmwareDirFlag, firmwareFlag)
		}
		return cast{}, nil
	}
	dir := c.String(firmwareDirFlag)
	if dir == "" {
		dir = filepath.Join(filepath.Dir(program()), "firmware")
	}
	dir, err := filepath.Abs(dir) // the programs run in folders of their own
	if err != nil {
		return cast{}, err
	}
	var missing []string
	for _, k := range []keys.Kind{keys.KindReader, keys.KindSwitch, keys.KindLock, keys.KindLamp} {
		if info, err := os.Stat(filepath.Join(dir, string(k))); err != nil || !info.Mode().IsRegular() ||
			info.Mode()&0o111 == 0 {
			missing = append(missing, string(k))
		}
	}
	if missing != nil {
		return cast{}, terminal.WrongUse(c,
			"there is no program %s in %s: make firmware-host builds it, --%s says where it is",
			strings.Join(missing, ", "), dir, firmwareDirFlag)
	}
	return cast{programs: dir, verbose: c.Bool(verboseFlag)}, nil
}

// String says what the nodes are. A text that says how they are connected can follow.
func (a cast) String() string {
	if a.programs == "" {
		return "simulated nodes"
	}
	return "nodes that run the firmware, as processes of this machine,"
}

// patienceOfNodes is how long simulated nodes may take to connect.
const patienceOfNodes = 15 * time.Second

// patience is how long to wait for nodes to connect. The firmware tries again after a second, two,
// four and so on.
func (a cast) patience() time.Duration {
	if a.programs == "" {
		return patienceOfNodes
	}
	return 2 * patienceOfNodes
}

// between is how long a reader needs between two cards to notice that the first one was removed.
func (a cast) between() time.Duration {
	if a.programs == "" {
		return 0
	}
	return device.CardAway
}

// goodbye tells whether a node says goodbye to the gateway when its power is cut.
func (a cast) goodbye() bool { return a.programs == "" }

// startProgram starts a node that runs the firmware. Its flash is a folder of its own in the
// house's, and survives a loss of power.
func (h *House) startProgram(b provision.Bundle, changed func(wire.State)) error {
	cfg := device.ProgramConfig{Name: b.Device, Kind: b.Kind, Gateway: h.relays[b.Device].Addr(),
		Identity: b.Identity, Secret: b.Secret,
		Dir: filepath.Join(h.dir, b.Device), Program: filepath.Join(h.cast.programs, string(b.Kind)),
		Changed: changed}
	if b.Kind == keys.KindSwitch {
		cfg.Target = b.Targets[0]
	}
	if h.cast.verbose {
		cfg.Line = func(line string) {
			if _, text, ok := strings.Cut(line, " log "); ok {
				h.out.printf("    %s  %s: %s\n", time.Now().Format("15:04:05.000"), b.Device,
					terminal.QuoteLine(text))
			}
		}
	}
	p, err := device.StartProgram(cfg)
	if err != nil {
		return err
	}
	h.nodes[b.Device] = &powered{p, p.Close}
	return nil
}

// shows waits until a node's state matches a verdict. The state may be read a moment after the
// answer.
func (h *House) shows(ctx context.Context, f func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	return h.await(ctx, f)
}
