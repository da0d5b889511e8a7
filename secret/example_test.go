package secret_test

import (
	"fmt"

	"github.com/troupe-dev/troupe/secret"
)

func Example() {
	ref, err := secret.Parse("env:DATABASE_PASSWORD")
	if err != nil {
		fmt.Println(err)
		return
	}
	value, err := ref.Resolve([]string{"DATABASE_PASSWORD=hunter2"})
	fmt.Println(ref, len(value), err)

	_, err = secret.Parse("hunter2")
	fmt.Println(err)
	// Output:
	// env:DATABASE_PASSWORD 7 <nil>
	// want a reference, "env:NAME" or "file:PATH"; a secret is never written here itself
}
