package csv

import (
	"fmt"
	"io"
	"unicode/utf8"

	"github.com/troupe-dev/troupe/internal/suggest"
	"github.com/troupe-dev/troupe/workflow"
)

// checkDelimiter reads a delimiter. It has to be one byte that stands for
// itself within fields of any encoding.
func checkDelimiter(c *workflow.Check, text string) byte {
	if text == `\t` {
		text = "\t"
	}
	if len(text) != 1 || text[0] >= utf8.RuneSelf || text == `"` || text == "\n" || text == "\r" || text == "\x00" {
		c.Report("delimiter", fmt.Sprintf("%q cannot be a delimiter", text), `expected one ASCII character such as "," or ";" or "\t"`)
		return ','
	}
	return text[0]
}

// Encodings of a source.
const (
	encodingUTF8        = "utf-8"
	encodingWindows1252 = "windows-1252"
)

var encodings = []string{encodingUTF8, encodingWindows1252}

func checkEncoding(c *workflow.Check, name string) {
	switch name {
	case encodingUTF8, encodingWindows1252:
	case "latin1", "latin-1", "iso-8859-1":
		c.Report("encoding", fmt.Sprintf("unknown encoding %q", name), fmt.Sprintf("use %q, which holds all of its characters", encodingWindows1252))
	default:
		c.Report("encoding", fmt.Sprintf("unknown encoding %q; expected one of %q", name, encodings), suggest.DidYouMean(name, encodings))
	}
}

// high1252 are the characters of the bytes from 0x80 to 0x9f. The five bytes
// without a character stand for the control character of their number, as the
// WHATWG Encoding Standard has it. All bytes above are those of Unicode.
var high1252 = [32]rune{
	'€', 0x81, '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', 0x8d, 'Ž', 0x8f,
	0x90, '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', 0x9d, 'ž', 'Ÿ',
}

// reader1252 turns Windows-1252 into UTF-8. Every byte has a character, so it
// adds no errors of its own.
type reader1252 struct {
	src  io.Reader
	in   [4096]byte
	out  []byte
	rest []byte // of out, not yet read
	err  error
}

// Read gives the next part of the text.
func (r *reader1252) Read(p []byte) (int, error) {
	for len(r.rest) == 0 {
		if r.err != nil {
			return 0, r.err
		}
		var n int
		n, r.err = r.src.Read(r.in[:])
		r.out = r.out[:0]
		for _, b := range r.in[:n] {
			switch {
			case b < 0x80:
				r.out = append(r.out, b)
			case b < 0xa0:
				r.out = utf8.AppendRune(r.out, high1252[b-0x80])
			default:
				r.out = utf8.AppendRune(r.out, rune(b))
			}
		}
		r.rest = r.out
		if n == 0 && r.err == nil {
			return 0, nil
		}
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}
