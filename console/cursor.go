package console

import (
	"encoding/base64"
	"strings"
)

// A cursor is where the next page of a list begins. Clients take it as it is: it
// is the last key of the page before, which stays in its place while others are
// added.

// cursorKind begins every cursor, so that something else is not taken for one.
const cursorKind = "1."

// cursorMax bounds a cursor that comes in, in bytes.
const cursorMax = 1_000

func encodeCursor(key string) string {
	if key == "" {
		return ""
	}
	return base64.RawURLEncoding.EncodeToString([]byte(cursorKind + key))
}

func decodeCursor(text string) (string, error) {
	if text == "" {
		return "", nil
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	key, ours := strings.CutPrefix(string(raw), cursorKind)
	if err != nil || !ours || key == "" || len(text) > cursorMax {
		return "", invalid("cursor", "cursor is %q; expected what an answer gave as next", short(text))
	}
	return key, nil
}
