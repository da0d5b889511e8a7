package wire_test

import (
	"errors"
	"fmt"

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/wire"
)

type parcel struct {
	To     string `json:"to"`
	Weight int    `json:"weight"`
}

func Example() {
	parcels := wire.CBOR[parcel]("post.Parcel")

	m, err := parcels.Encode(parcel{"Lyon", 3})
	fmt.Println(m.Type, m.Codec, len(m.Data), err)
	p, err := parcels.Decode(m)
	fmt.Println(p, err)

	m.Data = m.Data[:10]
	_, err = parcels.Decode(m)
	var poison *wire.PoisonError
	fmt.Println(errors.As(err, &poison), fault.CodeOf(err), len(poison.Message.Data))
	// Output:
	// post.Parcel cbor 17 <nil>
	// {Lyon 3} <nil>
	// true POISON 10
}

func ExampleRegistry() {
	var types wire.Registry
	if err := wire.Register(&types, wire.MessagePack[parcel]("post.Parcel")); err != nil {
		fmt.Println(err)
		return
	}
	m, err := types.Encode(parcel{"Lyon", 3})
	if err != nil {
		fmt.Println(err)
		return
	}
	text, _ := types.JSON(m)
	fmt.Println(string(text))
	_, err = types.FromJSON("post.Parcel", []byte(`{"to":"Lyon","wieght":4}`))
	fmt.Println(err)
	// Output:
	// {"to":"Lyon","weight":3}
	// wire.FromJSON post.Parcel: the text is not of that type: json: unknown field "wieght" (INVALID_ARGUMENT)
}
