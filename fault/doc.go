// Package fault is the one error type of Troupe and the codes it carries.
//
// A [Code] says what kind of failure it is in terms that a caller, a retry, a
// metric and another node all understand; an [Error] adds where it happened,
// which actor was meant, whose request it was, and the cause.
//
//	err := &fault.Error{
//		Code:    fault.NotFound,
//		Op:      "actor.Tell",
//		Target:  "/weather/filter",
//		Message: "no such actor",
//	}
//	errors.Is(err, fault.NotFound) // true
//
// # Codes
//
// Codes are those of gRPC, with the same numbers, and [Poison]. Three of them
// are transient: the same call may succeed later without anyone changing
// anything. All others are permanent.
//
//	code                 transient  meaning
//	OK                              no error; an [Error] never has it
//	CANCELED                        the caller gave up
//	UNKNOWN                         an error that carries no code, such as an application's own
//	INVALID_ARGUMENT                the request is wrong, whatever the state of the system
//	DEADLINE_EXCEEDED    yes        no answer in time; the work may have been done
//	NOT_FOUND                       no such actor, node, workflow, key
//	ALREADY_EXISTS                  the name or id is taken
//	PERMISSION_DENIED               the caller is known and may not do this
//	RESOURCE_EXHAUSTED   yes        a mailbox, queue or quota is full
//	FAILED_PRECONDITION             the state of the system forbids it until someone changes that
//	ABORTED                         a conflict: a stale epoch, a lost compare-and-set; redo the whole sequence
//	OUT_OF_RANGE                    a read past the end
//	UNIMPLEMENTED                   the target does not understand the request
//	INTERNAL                        a bug or a panic in the callee
//	UNAVAILABLE          yes        not reachable now: stopped, restarting, isolated, disconnected
//	DATA_LOSS                       stored data is damaged or gone
//	UNAUTHENTICATED                 the caller has not proved who it is
//	POISON                          a message that does not decode, or that fails again and again
//
// # Applications' errors
//
// An application returns its own errors as they are. They have the code
// UNKNOWN unless they wrap a fault, are one of the context package's errors or
// implement [Coder]; inside a process they stay typed, because an Error
// unwraps to its cause.
package fault
