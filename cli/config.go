package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"latchkey/cli/settings"
)

func configCommands() []spec {
	return []spec{{name: "show", flags: settings.Flags(), run: showConfig,
		usage: "print each setting that serve would use, and where its value comes from"}}
}

// showConfig refuses what serve would refuse, so a file can be tried before the gateway is
// restarted.
func showConfig(x *call) error {
	s, err := settings.Read(x.Context)
	if err != nil {
		return err
	}
	if _, err := s.LogLevel(); err != nil {
		return err
	}
	dir, err := filepath.Abs(x.String(dataFlag))
	if err != nil {
		return fmt.Errorf("data folder: %w", err)
	}
	if _, err := s.Gateway(dir); err != nil {
		return err
	}
	answer := struct {
		Items []settings.Setting `json:"items"`
	}{s.List()}
	raw, err := json.Marshal(answer)
	if err != nil {
		return fmt.Errorf("settings: %w", err)
	}
	return x.show(raw, func(w io.Writer) {
		printRow(w, []string{"NAME", "VALUE", "FROM"})
		for _, i := range answer.Items {
			text := fmt.Sprint(i.Value)
			if list, ok := i.Value.([]string); ok {
				text = strings.Join(list, ", ")
			}
			from := string(i.From)
			if i.Where != "" {
				from += " " + i.Where
			}
			printRow(w, []string{i.Name, text, from})
		}
	})
}
