package main

import "strings"

// token is one token of C, or a comment, a space or a line of the preprocessor, which are all
// blank.
type token struct {
	text  string
	at    int // in the source
	line  int // from 0
	blank bool
}

func identifier(c byte) bool {
	return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c >= 0x80
}

var operators = []string{"<<=", ">>=", "...", "->", "++", "--", "<<", ">>", "<=", ">=", "==", "!=", "&&",
	"||",
	"+=", "-=", "*=", "/=", "%=", "&=", "|=", "^="}

// tokenize cuts C into tokens. It knows enough of the language for the core, which has no trigraphs
// and no strings over several lines.
func tokenize(src string) []token {
	var all []token
	line, start := 0, true // start: only space comes before on this line
	for at := 0; at < len(src); {
		n, blank := next(src[at:], start)
		text := src[at : at+n]
		all = append(all, token{text, at, line, blank})
		line += strings.Count(text, "\n")
		if strings.Contains(text, "\n") {
			start = true
		} else if !blank {
			start = false
		}
		at += n
	}
	return all
}

// next returns the length of the first token of s, and whether it is blank.
func next(s string, start bool) (int, bool) {
	switch {
	case strings.HasPrefix(s, "/*"):
		return 4 + strings.Index(s[2:], "*/"), true
	case strings.HasPrefix(s, "//"):
		return strings.Index(s+"\n", "\n"), true
	case s[0] == ' ' || s[0] == '\t' || s[0] == '\n':
		return 1, true
	case s[0] == '#' && start:
		n := strings.Index(s+"\n", "\n")
		for n < len(s) && s[n-1] == '\\' {
			n += 1 + strings.Index(s[n+1:]+"\n", "\n")
		}
		return n, true
	case s[0] == '"' || s[0] == '\'':
		for i := 1; i < len(s); i++ {
			if s[i] == '\\' {
				i++
			} else if s[i] == s[0] {
				return i + 1, false
			}
		}
		return len(s), false
	case identifier(s[0]):
		n := 1
		for n < len(s) && identifier(s[n]) {
			n++
		}
		return n, false
	}
	for _, op := range operators {
		if strings.HasPrefix(s, op) {
			return len(op), false
		}
	}
	return 1, false
}

// place is where a token stands: in which function, and whether a statement begins with it.
type place struct {
	function string // "" outside of functions
	begins   bool
}

// places returns the place of each token. ts has no blank tokens.
func places(ts []token) []place {
	out := make([]place, len(ts))
	var braces []bool // for each open brace, whether it contains statements
	var parens []int  // the index of each open parenthesis
	var name, function string
	begins, heads := false, map[int]bool{} // heads: the closing parentheses of if, for, while and switch
	for i, t := range ts {
		inside := len(braces) > 0 && braces[len(braces)-1]
		out[i] = place{function, begins && inside && len(parens) == 0}
		begins = false
		switch t.text {
		case "(":
			if len(braces) == 0 && len(parens) == 0 && i > 0 {
				name = ts[i-1].text
			}
			parens = append(parens, i)
		case ")":
			if len(parens) == 0 {
				break
			}
			open := parens[len(parens)-1]
			parens = parens[:len(parens)-1]
			if open > 0 && head(ts[open-1].text) {
				heads[i] = true
				begins = true
			}
		case "{":
			block := i > 0 && (heads[i-1] || strings.Contains(" else do ; { } : ", " "+ts[i-1].text+" "))
			if len(braces) == 0 && i > 0 && ts[i-1].text == ")" {
				block = true
				function = name
			}
			braces = append(braces, block && (function != ""))
			begins = true
		case "}":
			if len(braces) > 0 {
				braces = braces[:len(braces)-1]
			}
			if len(braces) == 0 {
				function = ""
			}
			begins = true
		case ";", "else", ":":
			begins = true
		}
	}
	return out
}

func head(word string) bool {
	return word == "if" || word == "for" || word == "while" || word == "switch"
}
