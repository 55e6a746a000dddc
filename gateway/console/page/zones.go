package page

import (
	"sync"
	"time"
)

// Zones caches the time zone of the site, since loading one searches for files each time.
type Zones struct {
	mu   sync.Mutex
	last *time.Location // guarded by mu; nil before the first
}

// Find returns the zone of that name.
func (z *Zones) Find(name string) (*time.Location, error) {
	z.mu.Lock()
	defer z.mu.Unlock()
	if z.last != nil && z.last.String() == name {
		return z.last, nil
	}
	found, err := time.LoadLocation(name)
	if err == nil {
		z.last = found
	}
	return found, err
}
