package node

import "testing"

func TestBytes(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]struct {
		n     Bytes
		again string
	}{
		"0": {0, "0"}, "17": {17, "17B"}, "512MiB": {512 << 20, "512MiB"}, "2 GB": {2e9, "2GB"},
		"1024KiB": {1 << 20, "1MiB"}, "1500B": {1500, "1500B"}, " 3kB ": {3000, "3kB"},
	} {
		n, err := ParseBytes(text)
		if err != nil || n != want.n || n.String() != want.again {
			t.Errorf("%q: %d %q %v, want %d %q", text, n, n.String(), err, want.n, want.again)
		}
	}
	for _, text := range []string{"", "-1", "1.5GiB", "MiB", "9999999999TiB", "1 XB", "0x10"} {
		if n, err := ParseBytes(text); err == nil {
			t.Errorf("%q is read as %d", text, n)
		}
	}
}

// FuzzBytes: what is read is printed in a form that reads the same.
func FuzzBytes(f *testing.F) {
	for _, seed := range []string{"0", "512MiB", "1kB", "-1", "99999999999999999999"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		n, err := ParseBytes(text)
		if err != nil {
			return
		}
		if again, err := ParseBytes(n.String()); err != nil || again != n || n < 0 {
			t.Errorf("%q is %d, printed %q, read back %d, %v", text, n, n.String(), again, err)
		}
	})
}
