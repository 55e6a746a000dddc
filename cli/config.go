package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"
)

func configCommands() []spec {
	return []spec{{name: "show", flags: settingFlags(), run: showConfig,
		usage: "print each setting that serve would start with here, and where its value comes from"}}
}

// setting is one value, for people and as JSON. No setting is a secret: keys are named by their files.
type setting struct {
	Name  string `json:"name"`
	Value any    `json:"value"`
	From  origin `json:"from"`
	// Where is the flag, the variable or the file; empty for a default.
	Where string `json:"where,omitempty"`
}

// showConfig refuses what serve would refuse, so a file can be tried before the gateway is restarted.
func showConfig(x *call) error {
	s, err := readSettings(x.Context)
	if err != nil {
		return err
	}
	if _, err := s.logLevel(); err != nil {
		return err
	}
	dir, err := filepath.Abs(x.String(dataFlag))
	if err != nil {
		return fmt.Errorf("data folder: %w", err)
	}
	if _, err := s.gatewayConfig(dir); err != nil {
		return err
	}
	var answer struct {
		Items []setting `json:"items"`
	}
	for _, name := range settingNames() {
		answer.Items = append(answer.Items, s.setting(name))
	}
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

func (s *settings) setting(name string) setting {
	out := setting{Name: name, Value: s.Value(name), From: s.from[name]}
	if _, list := out.Value.(cli.StringSlice); list {
		out.Value = append([]string{}, s.StringSlice(name)...)
	}
	switch out.From {
	case fromFlag:
		out.Where = "--" + name
	case fromEnvironment:
		out.Where = environmentName(name)
	case fromFile:
		out.Where = s.file
	}
	return out
}
