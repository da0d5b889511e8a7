package durable

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/troupe-dev/troupe/store"
)

// meta is what accompanies a message beside the fields of an envelope. It is kept
// as text that people can read in a table:
//
//	codec[;key=value]…
//
// with codec and values escaped as in a URL's query. Keys that are unknown, of a
// newer version, are ignored. Keys: flags, of the trace; from and seq, the origin;
// live, the value in memory; redrives, how often it left the dead letters;
// subject, [Post.Subject].
type meta struct {
	codec    string
	flags    byte
	origin   Origin
	live     string
	redrives int
	subject  string
}

func (m meta) encode() []byte {
	b := append([]byte(nil), url.QueryEscape(m.codec)...)
	add := func(key, value string) {
		b = append(append(append(append(b, ';'), key...), '='), url.QueryEscape(value)...)
	}
	if m.flags != 0 {
		add("flags", strconv.FormatUint(uint64(m.flags), 16))
	}
	if m.origin.Producer != "" {
		add("from", string(m.origin.Producer))
		add("seq", strconv.FormatUint(m.origin.Seq, 10))
	}
	if m.live != "" {
		add("live", m.live)
	}
	if m.redrives > 0 {
		add("redrives", strconv.Itoa(m.redrives))
	}
	if m.subject != "" {
		add("subject", m.subject)
	}
	return b
}

func parseMeta(b []byte) (m meta, err error) {
	codec, rest, more := strings.Cut(string(b), ";")
	if m.codec, err = url.QueryUnescape(codec); err != nil {
		return meta{}, fmt.Errorf("the name of the codec: %w", err)
	}
	for more {
		var pair string
		pair, rest, more = strings.Cut(rest, ";")
		key, escaped, _ := strings.Cut(pair, "=")
		value, err := url.QueryUnescape(escaped)
		if err == nil {
			err = m.set(key, value)
		}
		if err != nil {
			return meta{}, fmt.Errorf("%q: %w", pair, err)
		}
	}
	return m, nil
}

func (m *meta) set(key, value string) error {
	switch key {
	case "flags":
		n, err := strconv.ParseUint(value, 16, 8)
		m.flags = byte(n)
		return err
	case "from":
		m.origin.Producer = store.Producer(value)
	case "seq":
		n, err := strconv.ParseUint(value, 10, 63)
		m.origin.Seq = n
		return err
	case "live":
		m.live = value
	case "subject":
		m.subject = value
	case "redrives":
		n, err := strconv.ParseUint(value, 10, 31)
		m.redrives = int(n)
		return err
	}
	return nil
}
