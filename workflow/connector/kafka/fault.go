package kafka

import (
	"context"
	"errors"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/troupe-dev/troupe/fault"
)

// failed makes the one error that a user reads about a topic or a group. An error
// that is a [fault.Error] already, and the end of the run, stay as they are.
func failed(ctx context.Context, op, target string, err error) error {
	if err == nil {
		return nil
	}
	k, answered := errors.AsType[*kerr.Error](err)
	if _, ok := errors.AsType[*fault.Error](err); ok && !answered {
		return err
	}
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, errAway) {
		return cause
	}
	f := &fault.Error{Code: fault.Unavailable, Op: op, Target: target, Cause: err}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		f.Cause = errAway
	}
	if answered {
		f.Code, f.Hint = classify(k)
		f.Cause, f.Message = nil, k.Message+": "+k.Description
	}
	return f
}

// classify gives the code of an answer of Kafka, and what to do about it.
func classify(err *kerr.Error) (code fault.Code, hint string) {
	switch err {
	case kerr.UnknownTopicOrPartition, kerr.UnknownTopicID:
		return fault.NotFound, "create the topic, or check its name"
	case kerr.SaslAuthenticationFailed:
		return fault.Unauthenticated, "check sasl: mechanism, user and password"
	case kerr.TopicAuthorizationFailed, kerr.GroupAuthorizationFailed, kerr.ClusterAuthorizationFailed, kerr.TransactionalIDAuthorizationFailed:
		return fault.PermissionDenied, "let the user read or write the topic; a transaction needs its id and its group as well"
	case kerr.UnknownMemberID, kerr.IllegalGeneration, kerr.RebalanceInProgress:
		return fault.FailedPrecondition, "the group has consumers of its own; choose another group"
	case kerr.OffsetOutOfRange:
		return fault.FailedPrecondition, "the messages were deleted before they were read; raise the retention of the topic"
	case kerr.MessageTooLarge, kerr.RecordListTooLarge, kerr.InvalidRecord:
		return fault.InvalidArgument, "raise message.max.bytes of the topic, or write fewer columns"
	}
	if err.Retriable {
		return fault.Unavailable, ""
	}
	return fault.FailedPrecondition, ""
}
