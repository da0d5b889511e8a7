package main

func Example() {
	main()
	// Output:
	// paid 70000 to landlord
	// rent: receipt 1
	// nothing: the application says: there is no money to pay
	// gift: INTERNAL, a dead letter
	// rent, again: receipt 1
	// example.Payments/Pay of gift failed 4 times: {"to":"","cents":2000}
	// paid 2000 to grandmother
	// 1 brought back, 1 handled
}
