package packet

// proxmoxForm is what Proxmox VE's pvefw-logger writes between a rule's chain and its words (src/pvefw-logger.c, print_pkt): 0 is a
// digit, a is a letter, and - is the sign of a zone.
const proxmoxForm = "00/aaa/0000:00:00:00 -0000 "

const (
	longestGuest = 10 // digits of a guest's number, 32 bits
	longestChain = 28 // MAX_CHAIN_LEN
)

// proxmoxFront returns how many bytes at the front of a line of pvefw-logger are before the words of a rule: the guest's number, the
// level, the chain and the time, as in "117 6 tap117i0-IN 22/Nov/2026:10:00:00 +0100 ". 0 without all that.
func proxmoxFront(m []byte) int {
	i := 0
	for i < len(m) && i <= longestGuest && m[i]-'0' <= 9 {
		i++
	}
	if i == 0 || i > longestGuest || len(m) < i+len(" 0 ") || m[i] != ' ' || m[i+1]-'0' > 7 || m[i+2] != ' ' {
		return 0
	}
	i += len(" 0 ")
	chain := i
	i = space(m, i)
	if i == chain || i-chain > longestChain || i == len(m) || !formed(m[i+1:], proxmoxForm) {
		return 0
	}
	return i + 1 + len(proxmoxForm)
}

// formed reports whether m begins in a form.
func formed(m []byte, form string) bool {
	if len(m) < len(form) {
		return false
	}
	for i, c := range m[:len(form)] {
		switch form[i] {
		case '0':
			if c-'0' > 9 {
				return false
			}
		case 'a':
			if c|0x20 < 'a' || c|0x20 > 'z' {
				return false
			}
		case '-':
			if c != '+' && c != '-' {
				return false
			}
		default:
			if c != form[i] {
				return false
			}
		}
	}
	return true
}
