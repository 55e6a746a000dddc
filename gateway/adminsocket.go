package gateway

import (
	"context"
	"net"
)

type adminServer struct{}

func listenAdmin(*Gateway, string) (*adminServer, error) { return nil, nil }
func (*adminServer) serve(context.Context) error         { return nil }
func (*adminServer) close() error                        { return nil }

var _ net.Listener
