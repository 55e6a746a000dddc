package main

import "latchkey/bench/report"

// explanations say of each figure of ours why it is worse than the best peer's, and what it would take; by system and scenario.
var explanations = map[[2]string]string{}

func explain(system, scenario string) func(*report.Figure) {
	return note(explanations[[2]string{system, scenario}])
}
