package main

import (
	"fmt"
	"strconv"
	"strings"
)

// mutant is one small change of a file. Its key is made of the function and the text and not of a
// line number, so that it stays valid when lines move.
type mutant struct {
	file, function string
	old, new       string // the line or statement before and after
	from, to       int    // the replaced part of the source
	text           string // the replacement
}

func (m mutant) key() string {
	return strings.Join([]string{m.file + ":" + m.function, m.old, m.new}, "\t")
}

func (m mutant) apply(src string) string { return src[:m.from] + m.text + src[m.to:] }

var swaps = map[string][]string{
	"<": {"<="}, "<=": {"<"}, ">": {">="}, ">=": {">"}, "==": {"!="}, "!=": {"=="},
	"&&": {"||"}, "||": {"&&"}, "+": {"-"}, "-": {"+"}, "+=": {"-="}, "-=": {"+="}, "|=": {"&="},
	"^=": {"|="},
	"<<": {">>"}, ">>": {"<<"}, "true": {"false"}, "false": {"true"}, "!": {""},
}

// mutants returns all changes of a file, in the order of the file.
func mutants(file, src string) []mutant {
	var ts []token
	for _, t := range tokenize(src) {
		if !t.blank {
			ts = append(ts, t)
		}
	}
	ps := places(ts)
	lines := strings.Split(src, "\n")
	var all []mutant
	seen := map[string]int{}
	add := func(i, from, to int, text, old, new string) {
		m := mutant{file: file, function: ps[i].function, old: old, new: new, from: from, to: to, text: text}
		seen[m.key()]++
		if n := seen[m.key()]; n > 1 {
			m.function += "#" + strconv.Itoa(n)
		}
		all = append(all, m)
	}
	// inLine adds a change of some bytes of one line.
	inLine := func(i, from, to int, text string) {
		line := lines[ts[i].line]
		start := strings.LastIndex(src[:ts[i].at], "\n") + 1
		if to > start+len(line) {
			add(i, from, to, text, strings.Join(strings.Fields(src[from:to]), " "),
				strings.Join(strings.Fields(text), " "))
			return
		}
		add(i, from, to, text, strings.TrimSpace(line),
			strings.TrimSpace(line[:from-start]+text+line[to-start:]))
	}
	logged := 0
	for i, t := range ts {
		if ps[i].begins && t.text == "lk_link_log" { // the text of a log is not behaviour
			for logged = i; logged < len(ts) && ts[logged].text != ";"; {
				logged++
			}
		}
		if i < logged {
			continue
		}
		end := t.at + len(t.text)
		if (t.text != "+" && t.text != "-" || binary(ts, i)) && (t.text != "!" || ps[i].function != "") {
			for _, s := range swaps[t.text] {
				inLine(i, t.at, end, s)
			}
		}
		change := neighbours
		if ps[i].function == "" {
			change = halfAndTwice
		}
		for k, s := range change(t.text) {
			if k > 0 || !dimension(ts, i) { // a larger array makes no difference
				inLine(i, t.at, end, s)
			}
		}
		if t.text == "if" {
			if close := match(ts, i+1); close > 0 {
				inLine(i, ts[i+1].at, ts[close].at+1, "(!"+src[ts[i+1].at:ts[close].at+1]+")")
			}
		}
		if !ps[i].begins {
			continue
		}
		stop := i
		for depth := 0; stop < len(ts) && (ts[stop].text != ";" || depth > 0); stop++ {
			depth += strings.Count("({[", ts[stop].text) - strings.Count(")}]", ts[stop].text)
			if depth < 0 {
				break
			}
		}
		if stop == len(ts) || ts[stop].text != ";" || stop == i {
			continue
		}
		if t.text == "return" && stop > i+1 {
			value := src[ts[i+1].at:ts[stop].at]
			for _, s := range []string{"0", "-1", "1"} {
				if value != s && stop > i+2 || strings.HasPrefix(value, "LK_") && s == "0" {
					inLine(i, ts[i+1].at, ts[stop].at, s)
				}
			}
		} else if removable(ts[i:stop]) {
			inLine(i, t.at, ts[stop].at, "")
		}
	}
	return all
}

// binary tells whether a plus or minus has an operand before it.
func binary(ts []token, i int) bool {
	if i == 0 {
		return false
	}
	before := ts[i-1].text
	return before == ")" || before == "]" || identifier(before[0]) && before != "return" && before != "case"
}

// dimension tells whether a number is the dimension of a declared array.
func dimension(ts []token, i int) bool {
	return i > 2 && ts[i-1].text == "[" && identifier(ts[i-2].text[0]) && identifier(ts[i-3].text[0]) &&
		ts[i-3].text != "return"
}

// halfAndTwice returns half and twice a named number, such as a time of 60000 ms, since no test
// should depend on one millisecond. Small numbers and hexadecimal ones are lengths and codes; they
// get their neighbours instead.
func halfAndTwice(text string) []string {
	v, err := strconv.ParseUint(text, 10, 64)
	if err != nil || v < 30 {
		return neighbours(text)
	}
	return []string{fmt.Sprint(v * 2), fmt.Sprint(v / 2)}
}

// neighbours returns a number plus one and minus one.
func neighbours(text string) []string {
	digits := strings.TrimRight(text, "uUlL")
	v, err := strconv.ParseUint(digits, 0, 64)
	if err != nil {
		return nil
	}
	suffix := text[len(digits):]
	out := []string{fmt.Sprint(v+1) + suffix}
	if v > 0 {
		out = append(out, fmt.Sprint(v-1)+suffix)
	}
	return out
}

// match returns where the parenthesis at open is closed, or 0.
func match(ts []token, open int) int {
	if open >= len(ts) || ts[open].text != "(" {
		return 0
	}
	depth := 0
	for i := open; i < len(ts); i++ {
		depth += strings.Count("(", ts[i].text) - strings.Count(")", ts[i].text)
		if depth == 0 {
			return i
		}
	}
	return 0
}

// removable tells whether a statement can be removed. Declarations cannot, nor control flow except
// break and continue, nor statements that only silence a warning about unused values.
func removable(ts []token) bool {
	first := ts[0].text
	switch first {
	case "if", "for", "while", "do", "switch", "case", "default", "return", "goto", "else", "{", "}",
		"static", "const", "struct", "enum", "union", "unsigned", "int", "char", "bool", "void":
		return false
	case "(":
		return !(len(ts) >= 4 && ts[1].text == "void" && (len(ts) == 4 || ts[4].text == ","))
	}
	if strings.HasSuffix(first, "_t") || strings.Contains(first, "mbedtls_ccm_context") {
		return false
	}
	return len(ts) < 2 || !identifier(first[0]) || !identifier(ts[1].text[0]) && ts[1].text != "*" ||
		first == "break"
}
