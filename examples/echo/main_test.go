package main

func Example() {
	main()
	// Output:
	// "hello", number 1
	// the application says: there is nothing to echo
	// the call failed: INTERNAL
	// "still here", number 2
}
