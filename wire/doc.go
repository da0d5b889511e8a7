// Package wire turns messages into bytes and back, at every border: between
// nodes, into a store, out of a dead letter queue.
//
// A [Type] is how the values of one Go type cross: a name that both sides know,
// and a [Codec]. It is chosen once, where the type is:
//
//	var OrderType = wire.CBOR[Order]("shop.Order")
//	var EchoType = wire.Proto[*echov1.EchoRequest]() // its name is in the descriptor
//
//	m, err := OrderType.Encode(order)    // a Message: type, codec, data
//	order, err = OrderType.Decode(m)
//
// A [Registry] finds the type by the name in a [Message] where the code does not
// know what will come.
//
// # Codecs
//
//	proto    Protocol Buffers, for generated messages
//	cbor     CBOR (RFC 8949): compact, keeps integers, bytes and times
//	msgpack  MessagePack: like CBOR, for peers that speak it
//	json     JSON: readable, for peers that speak nothing else
//
// All ignore fields that the receiver does not know, so a message may grow.
//
// # Bytes from strangers
//
// Decoding never panics and its memory is bounded by the length of the data.
// Nesting is limited to [MaxDepth]. What does not decode is a [PoisonError] with
// the code POISON, which keeps the bytes: nothing is lost, and repeating won't
// help.
package wire
