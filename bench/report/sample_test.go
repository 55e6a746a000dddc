package report

import (
	"fmt"
	"math"
	"time"
)

// sample returns a run with invented figures: everything that a full run has, or one case of each
// scenario.
func sample(full bool) *Run {
	losses, sessions := []string{"no loss"}, []int{16}
	if full {
		losses, sessions = []string{"no loss", "1 % lost", "5 % lost", "10 % lost"}, []int{1, 16, 256}
	}
	began := time.Date(2026, 11, 25, 10, 0, 0, 0, time.UTC)
	r := &Run{
		Form: "full", Began: began, Ended: began.Add(42 * time.Minute),
		Commit: "0123456789abcdef0123456789abcdef01234567+changes",
		Machine: Machine{CPU: "An Invented Processor 9000", CPUs: 2, Server: []int{0}, Load: []int{1},
			Memory: 8 << 30, Kernel: "Linux 6.1.0",
			System: "Some GNU/Linux 1", Arch: "amd64", Disk: "ext4 on /dev/vda"},
		Versions:    map[string]string{"libcoap": "4.3.1", "Go": "go1.26.8", "mosquitto": "2.0.11"},
		NotMeasured: []string{"Radio: all is on loopback.", "A Raspberry Pi."},
	}
	systems := []string{"floor", "latchkey", "latchkey in memory", "libcoap-gnutls", "libcoap-openssl",
		"go-coap", "go-coap-dtls2", "mqtt", "https"}
	base := []float64{30, 620, 210, 110, 105, 190, 205, 880, 940}
	tap := Scenario{Name: "tap", Title: "Tap to verdict", What: "From the tap to the verdict at the reader.",
		Panel: &Panel{Title: "Tap to verdict", Case: "no loss"}}
	throughput := Scenario{Name: "throughput", Title: "Requests and what they cost",
		What:  "Closed loop, so many sessions at once.",
		Panel: &Panel{Title: "CPU for 100,000 requests", Case: "16 sessions", Metric: "CPU per 100,000"}}
	idle := Scenario{Name: "idle", Title: "Memory of sessions that say nothing",
		Panel: &Panel{Title: "Memory per idle session", Case: "10,000", Metric: "RSS per session"}}
	wire := Scenario{Name: "bytes", Title: "Bytes on the wire", Panel: &Panel{Title: "Bytes on the wire",
		Case: "a further scan", Metric: "bytes"}}
	spread := func(v float64) []float64 { return []float64{v, v * 0.96, v * 1.07, v * 1.01, v * 0.99} }
	for i, system := range systems {
		for k, kase := range losses {
			c := Curve{Case: kase, System: system}
			for _, p := range []float64{0, 25, 50, 75, 90, 95, 99, 99.5, 99.9, 99.95, 99.99, 100} {
				v := base[i] * (0.8 + 0.3*min(rarity(p), 5))
				if lost := float64(k*k) * 1.1; p > 100-lost {
					v += 2e6 * math.Sqrt((p-100+lost)/lost)
				}
				c.Points = append(c.Points, [2]float64{p, v})
			}
			tap.Curves = append(tap.Curves, c)
			tap.Figures = append(tap.Figures,
				Figure{Case: kase, System: system, Metric: "p50", Unit: "µs", Main: true,
					Rounds: spread(c.Points[2][1])},
				Figure{Case: kase, System: system, Metric: "p99", Unit: "µs", Rounds: spread(c.Points[6][1])})
		}
		for _, n := range sessions {
			kase := fmt.Sprintf("%d sessions", n)
			f := Figure{Case: kase, System: system, Metric: "CPU per 100,000", Unit: "s", Main: true,
				Rounds: spread(base[i] / 33 / math.Sqrt(float64(n)))}
			if system == "latchkey" {
				f.Note = "It decides and keeps what it decided."
			}
			throughput.Figures = append(throughput.Figures, f, Figure{Case: kase, System: system,
				Metric: "requests", Unit: "1/s", More: true, Main: true,
				Rounds: spread(900_000 / base[i] * math.Sqrt(float64(n)))})
		}
		if system != "floor" {
			idle.Figures = append(idle.Figures, Figure{Case: "10,000", System: system,
				Metric: "RSS per session", Unit: "KB", Main: true, Rounds: spread(20 + base[i]/20)})
			wire.Figures = append(wire.Figures,
				Figure{Case: "a connect and one scan", System: system, Metric: "bytes", Unit: "B", Main: true,
					Rounds: []float64{math.Round(900 + 2*base[i])}},
				Figure{Case: "a further scan", System: system, Metric: "bytes", Unit: "B", Main: true,
					Rounds: []float64{math.Round(180 + base[i]/3)}})
		}
	}
	r.Scenarios = []Scenario{tap, throughput, idle, wire}
	return r
}
