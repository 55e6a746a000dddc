// Command latchkey runs a gateway for doors and lamps, and administers one. All of it is in package
// cli.
package main

import (
	"os"
	_ "time/tzdata" // schedules need the site's zone on machines that have none installed

	"latchkey/cli"
)

func main() {
	os.Exit(cli.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
