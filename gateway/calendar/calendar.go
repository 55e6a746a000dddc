// Package calendar does the arithmetic of local time: schedules of weekly windows with dated
// exceptions, and times as people write them on the site's wall clock. It has no clock and no
// default zone.
package calendar

import "errors"

// ErrInvalid is the error of a schedule's text that does not make sense.
var ErrInvalid = errors.New("invalid")
