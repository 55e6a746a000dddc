package settings

import (
	"os"
	"path/filepath"
	"strings"

	"latchkey/gateway/rollback"
)

// headLog is where head.log is; its File is empty where somebody said that there is to be none.
func (s *Settings) headLog(data string) (rollback.Place, error) {
	p := rollback.Place{Data: data}
	switch path := s.Path("head-log"); path {
	case "off":
		return p, nil
	case "":
		p.File = filepath.Join(headFolder(data), rollback.FileName)
	default:
		var err error
		if p.File, err = filepath.Abs(path); err != nil {
			return p, s.wrong("head-log", "%v", err)
		}
	}
	if err := p.Check(); err != nil {
		return p, s.wrong("head-log", "%s: %v", p.File, err)
	}
	return p, nil
}

// headFolder is the folder of head.log if nobody names one: the second that a service manager gives
// (StateDirectory= in systemd.exec(5)), else the one beside the data folder.
func headFolder(data string) string {
	folders := strings.Split(os.Getenv("STATE_DIRECTORY"), ":")
	if len(folders) > 1 && filepath.IsAbs(folders[1]) && filepath.Clean(folders[0]) == filepath.Clean(data) {
		return folders[1]
	}
	return filepath.Clean(data) + "-head"
}
