package parse

// Shape is what the form of an access log's line was taken for.
type Shape uint8

// The shapes.
const (
	NoShape       Shape = iota // it is no access log's line, or its form was declared
	PeerFirst                  // common, combined
	VhostFirst                 // vhost_combined
	HAProxyShaped              // option httplog
	NPMShaped                  // of Nginx Proxy Manager
	shapes
)

// Shapes is how many there are.
const Shapes = int(shapes)

func (s Shape) String() string {
	switch s {
	case PeerFirst:
		return `common or combined (PEER - USER [TIME] "REQUEST" STATUS BYTES ...)`
	case VhostFirst:
		return `vhost_combined (VHOST PEER - USER [TIME] "REQUEST" STATUS BYTES ...)`
	case HAProxyShaped:
		return "HAProxy's option httplog"
	case NPMShaped:
		return "that of Nginx Proxy Manager"
	default:
		return "none"
	}
}
