package parse

// Refusal is a reason to refuse a message that a rule describes. Its text is a metric's label.
type Refusal uint8

// The refusals.
const (
	NotRefused  Refusal = iota
	Ambiguous           // it can be read in two ways that name different peers, or mean different things
	BadAddress          // what stands where the address should be is none, and no name either
	HostName            // a name stands where the address should be; names are never resolved
	Proxy               // a trusted proxy is the peer, and does not tell of whom it was asked
	TooLong             // the message may have been cut where its peer chose: it is too long for its service, or the address is after what a peer chose
	AddressList         // several addresses are where the peer should be: a client wrote all of them but perhaps the last
	OtherForm           // it is not of the form that was declared for its log, so that nothing in it is known; there is no rule then
	refusals
)

func (r Refusal) String() string {
	switch r {
	case Ambiguous:
		return "ambiguous"
	case BadAddress:
		return "bad-address"
	case HostName:
		return "host-name"
	case Proxy:
		return "proxy"
	case TooLong:
		return "too-long"
	case AddressList:
		return "address-list"
	case OtherForm:
		return "other-form"
	default:
		return "none"
	}
}

// Refusals lists every reason, in order.
func Refusals() []Refusal {
	var all []Refusal
	for r := NotRefused + 1; r < refusals; r++ {
		all = append(all, r)
	}
	return all
}
