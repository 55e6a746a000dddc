// Command mutate changes the firmware's core in one small place at a time and lists the changes
// that no unit test detects. It does not know whether a change matters: changes that do not matter
// are listed in a file, each with its reason.
//
// Run it in firmware/ through the Makefile: make mutate, make mutate-fixed.
package main

import (
	"bufio"
	"crypto/sha256"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"time"
)

var (
	files      = flag.String("files", "", "only these files of core, as echo.c,node.c")
	limit      = flag.Duration("for", 10*time.Minute, "stop after this time; the next run goes on")
	again      = flag.Bool("again", false, "try again the changes that no test detected")
	fixed      = flag.String("fixed", "", "try only the changes of this list; a test must detect each")
	equivalent = flag.String("equivalent", "mutate/equivalent.txt", "the list of changes that do not matter")
	results    = flag.String("results", "build/mutate/results.txt", "the file with the results so far")
	list       = flag.Bool("list", false, "print the changes and try none")
)

func main() {
	flag.Parse()
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "mutate:", err)
		os.Exit(1)
	}
}

func run() error {
	all, sources, err := load()
	if err != nil {
		return err
	}
	if *list {
		for _, m := range all {
			fmt.Println(m.key())
		}
		return nil
	}
	b, err := newBench()
	if err != nil {
		return err
	}
	defer b.close()
	if *fixed != "" {
		return runFixed(b, all, sources)
	}
	return runAll(b, all, sources)
}

// load returns every change of the wanted files, and the sources of these files.
func load() ([]mutant, map[string]string, error) {
	names, err := filepath.Glob("core/*.c")
	if err != nil {
		return nil, nil, err
	}
	wanted := map[string]bool{}
	for _, f := range strings.Split(*files, ",") {
		wanted[f] = f != ""
	}
	var all []mutant
	sources := map[string]string{}
	for _, name := range names {
		file := filepath.Base(name)
		if *files != "" && !wanted[file] {
			continue
		}
		src, err := os.ReadFile(name)
		if err != nil {
			return nil, nil, err
		}
		sources[file] = string(src)
		all = append(all, mutants(file, string(src))...)
	}
	return all, sources, nil
}

// readList reads lines of file:function, old, new and maybe a remark, with tabs between them. It
// returns the remarks by the first three fields.
func readList(path string) (map[string]string, error) {
	out := map[string]string{}
	f, err := os.Open(path)
	if os.IsNotExist(err) {
		return out, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if s.Text() == "" || s.Text()[0] == '#' {
			continue
		}
		parts := strings.SplitN(s.Text(), "\t", 4)
		if len(parts) < 3 {
			return nil, fmt.Errorf("%s: %q has fewer than three fields", path, s.Text())
		}
		out[strings.Join(parts[:3], "\t")] = strings.Join(parts[3:], "\t")
	}
	return out, nil
}

func runFixed(b *bench, all []mutant, sources map[string]string) error {
	wanted, err := readList(*fixed)
	if err != nil {
		return err
	}
	alive, tried := 0, 0
	for _, m := range all {
		if _, ok := wanted[m.key()]; !ok {
			continue
		}
		delete(wanted, m.key())
		tried++
		how, err := b.try(m, sources[m.file])
		if err != nil {
			return err
		}
		if how != seen {
			fmt.Printf("%s: %s\n", how, m.key())
			alive++
		}
	}
	for key := range wanted {
		fmt.Printf("there is no such change any more: %s\n", key)
	}
	if alive+len(wanted) > 0 || tried == 0 {
		return fmt.Errorf("%d of %d changes were not seen, %d are not there", alive, tried, len(wanted))
	}
	fmt.Printf("mutate: %d changes of core, each seen by a test\n", tried)
	return nil
}

func runAll(b *bench, all []mutant, sources map[string]string) error {
	reasons, err := readList(*equivalent)
	if err != nil {
		return err
	}
	known, err := readResults()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(*results), 0o755); err != nil {
		return err
	}
	out, err := os.OpenFile(*results, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer out.Close()
	end, left := time.Now().Add(*limit), 0
	count := map[string]int{}
	var survivors []string
	for _, m := range all {
		how := known[m.key()+"\t"+digest(sources[m.file])]
		if _, ok := reasons[m.key()]; ok {
			how = "equivalent"
		} else if how == "" || how == lives && *again {
			if time.Now().After(end) {
				left++
				continue
			}
			if how, err = b.try(m, sources[m.file]); err != nil {
				return err
			}
			if _, err := fmt.Fprintf(out, "%s\t%s\t%s\n", how, m.key(), digest(sources[m.file])); err != nil {
				return err
			}
		}
		count[strings.Fields(how)[0]]++
		if how == lives {
			survivors = append(survivors, m.key())
		}
	}
	sort.Strings(survivors)
	for _, s := range survivors {
		fmt.Println(s)
	}
	fmt.Printf("mutate: %d changes; seen %d, do not compile %d, same code %d, listed as equivalent %d, live %d, not tried yet %d\n",
		len(all), count[seen], count[stillborn], count[same], count["equivalent"], count[lives], left)
	if left == 0 && count[lives] > 0 {
		return fmt.Errorf("%d changes are seen by no test and not listed in %s", count[lives], *equivalent)
	}
	return nil
}

// readResults returns how each change ended, by key and digest of its file. The last of several
// results counts.
func readResults() (map[string]string, error) {
	out := map[string]string{}
	b, err := os.ReadFile(*results)
	if os.IsNotExist(err) {
		return out, nil
	}
	for _, line := range strings.Split(string(b), "\n") {
		if how, key, ok := strings.Cut(line, "\t"); ok {
			out[key] = how
		}
	}
	return out, err
}

func digest(src string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(src)))[:12] }
