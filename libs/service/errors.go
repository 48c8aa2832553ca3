package service

import (
	"errors"
	"fmt"

	"connectrpc.com/connect"
	"google.golang.org/grpc/status"

	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
)

// Error makes an RPC error that carries detail. The text is meant for the client and reaches it, unless code is Unknown,
// Internal or DataLoss.
func Error(code connect.Code, detail *statusv1.ErrorDetail, format string, args ...any) *connect.Error {
	err := connect.NewError(code, fmt.Errorf(format, args...))
	if packed, packErr := connect.NewErrorDetail(detail); packErr == nil {
		err.AddDetail(packed)
	}
	return err
}

// Detail finds the detail that Error put into an error, which may have come over the wire to a Connect or a gRPC client.
func Detail(err error) (*statusv1.ErrorDetail, bool) {
	var wire *connect.Error
	if errors.As(err, &wire) {
		for _, packed := range wire.Details() {
			if value, unpackErr := packed.Value(); unpackErr == nil {
				if detail, ok := value.(*statusv1.ErrorDetail); ok {
					return detail, true
				}
			}
		}
		return nil, false
	}
	answer, ok := status.FromError(err)
	if !ok {
		return nil, false
	}
	for _, value := range answer.Details() {
		if detail, ok := value.(*statusv1.ErrorDetail); ok {
			return detail, true
		}
	}
	return nil, false
}
