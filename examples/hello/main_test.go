package main

func Example() {
	main()
	// Output:
	// Hello, Ada. You are number 1.
	// Hello, Grace. You are number 2.
}
