package files_test

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/troupe-dev/troupe/internal/files"
)

func ExampleStaged() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)

	out, err := files.Create(filepath.Join(dir, "result.txt"))
	if err != nil {
		_, cause, hint := files.Explain(err)
		fmt.Println("cannot write the result:", cause, hint)
		return
	}
	defer out.Abort() // nothing after a Commit
	fmt.Fprintln(out, "all or nothing")
	if err := out.Commit(); err != nil {
		fmt.Println(err)
		return
	}
	text, _ := os.ReadFile(out.Path())
	fmt.Printf("%s", text)
	// Output: all or nothing
}
