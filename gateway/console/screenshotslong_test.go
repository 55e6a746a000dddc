//go:build long

package console_test

import "testing"

// TestLongPages opens every page in every view.
func TestLongPages(t *testing.T) { showPages(t, allViews) }

// TestLongPagesOnTheWay does the same with the pages that are shown only once.
func TestLongPagesOnTheWay(t *testing.T) { showPagesOnTheWay(t, allViews) }
