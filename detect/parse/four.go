package parse

// fourRoom is how many bytes Four and FourBack look at: the longest IPv4 address and what parts it from its neighbour.
const fourRoom = len("255.255.255.255") + 1

// Four reads an IPv4 address at m[at:], four decimal numbers without leading zeros, and returns where it ends; negative if there
// is none, or fewer than 16 bytes, for which Addr is there. What follows may be anything but a digit.
func Four(m []byte, at int) (addr [4]byte, end int) {
	if at+fourRoom > len(m) {
		return addr, -1
	}
	w := (*[fourRoom]byte)(m[at:])
	i := 0
	for part := range addr {
		value := uint(w[i&15] - '0')
		if value > 9 {
			return addr, -1
		}
		i++
		if d := uint(w[i&15] - '0'); d <= 9 {
			if value == 0 {
				return addr, -1
			}
			value = value*10 + d
			i++
			if d := uint(w[i&15] - '0'); d <= 9 {
				value = value*10 + d
				i++
			}
		}
		if value > 255 {
			return addr, -1
		}
		addr[part] = byte(value)
		if next := w[i&15]; part < 3 && next != '.' || part == 3 && next-'0' <= 9 {
			return addr, -1
		}
		i++
	}
	return addr, at + i - 1
}

// FourBack is Four for an address that ends at m[:end]; it returns where it begins.
func FourBack(m []byte, end int) (addr [4]byte, at int) {
	if end < fourRoom {
		return addr, -1
	}
	w := (*[fourRoom]byte)(m[end-fourRoom:])
	i := fourRoom - 1
	for part := 3; part >= 0; part-- {
		value := uint(w[i&15] - '0')
		if value > 9 {
			return addr, -1
		}
		i--
		if ten := uint(w[i&15] - '0'); ten <= 9 {
			value += ten * 10
			i--
			if hundred := uint(w[i&15] - '0'); hundred <= 9 {
				value += hundred * 100
				ten = hundred
				i--
			}
			if ten == 0 || value > 255 {
				return addr, -1
			}
		}
		addr[part] = byte(value)
		if before := w[i&15]; part > 0 && before != '.' || part == 0 && before-'0' <= 9 {
			return addr, -1
		}
		i--
	}
	return addr, end - fourRoom + i + 2
}
