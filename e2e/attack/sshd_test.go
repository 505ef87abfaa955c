package attack

import (
	"bufio"
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
)

// Messages of SSH (RFC 4253, 4252) that the client knows.
const (
	msgDisconnect     = 1
	msgServiceRequest = 5
	msgKexInit        = 20
	msgNewKeys        = 21
	msgKexECDHInit    = 30
	msgAuthRequest    = 50
	msgUnimplemented  = 3
	msgDebug          = 4
	msgIgnore         = 2
	msgAuthInfoReply  = 61
	greetingOfClients = "SSH-2.0-OpenSSH_9.2"
)

func sshd() daemon {
	send := func(talk func(s *sshConn, v string) error) func(*world, client, string) error {
		return func(_ *world, c client, v string) error {
			return c.ssh(greetingOfClients, func(s *sshConn) error { return talk(s, v) })
		}
	}
	return daemon{
		name: "sshd", pkg: "openssh-server", rules: []string{"sshd", "pam"},
		start: func(w *world) {
			put("/run/sshd/.keep", "")
			put("/etc/ssh/sshd_config.d/attack.conf", "MaxStartups 500\nLogLevel VERBOSE\nUseDNS no\n")
			withoutDelay()
			w.service("ssh", "/usr/sbin/sshd", "-D")
			listening(22)
		},
		fields: []field{
			{"user, password", send(func(s *sshConn, v string) error { return s.password(v, "x") })},
			{"user, keyboard-interactive", send(func(s *sshConn, v string) error { return s.interactive(v, "x") })},
			{"user, public key", send(func(s *sshConn, v string) error {
				return s.auth(v, "publickey", "\x00"+str("ssh-ed25519")+str(str("ssh-ed25519")+str(strings.Repeat("k", 32))))
			})},
			{"password", send(func(s *sshConn, v string) error { return s.password("root", v) })},
			{"method", send(func(s *sshConn, v string) error { return s.auth("root", v, "") })},
			{"service of the request", send(func(s *sshConn, v string) error { return s.write(msgServiceRequest, str(v)) })},
			{"service of the user", send(func(s *sshConn, v string) error {
				if err := s.service(); err != nil {
					return err
				}
				return s.ask(msgAuthRequest, str("root")+str(v)+str("none"))
			})},
			{"algorithm of the key", send(func(s *sshConn, v string) error {
				return s.auth("root", "publickey", "\x00"+str(v)+str(str(v)+str("k")))
			})},
			{"reason to disconnect, before", send(func(s *sshConn, v string) error { return s.write(msgDisconnect, "\x00\x00\x00\x0b"+str(v)+str("")) })},
			{"reason to disconnect, strange code", send(func(s *sshConn, v string) error { return s.write(msgDisconnect, "\x00\x00\x00\x02"+str(v)+str("")) })},
			{"reason to disconnect, as a user", send(func(s *sshConn, v string) error {
				if err := s.password("nobody "+v, "x"); err != nil {
					return err
				}
				return s.write(msgDisconnect, "\x00\x00\x00\x0b"+str(v)+str(""))
			})},
			{"version string", func(_ *world, c client, v string) error {
				return c.ssh("SSH-2.0-"+v, func(s *sshConn) error { return s.password("root", "x") })
			}},
			{"instead of a version string", func(_ *world, c client, v string) error { return c.raw(22, v+"\r\n") }},
			{"key exchange methods", func(_ *world, c client, v string) error {
				return c.raw(22, greetingOfClients+"\r\n"+packet(kexInit(v)))
			}},
			{"host key algorithms", func(_ *world, c client, v string) error {
				return c.raw(22, greetingOfClients+"\r\n"+packet(strings.Replace(kexInit("curve25519-sha256"), str("ssh-ed25519"), str(v), 1)))
			}},
		},
		plain: func(_ *world, c client) {
			for range 6 {
				_ = c.ssh(greetingOfClients, func(s *sshConn) error { return s.password("root", "x") })
			}
		},
	}
}

// withoutDelay has pam_unix answer at once.
func withoutDelay() {
	must("sed", "-i", "s/pam_unix.so nullok/pam_unix.so nullok nodelay/", "/etc/pam.d/common-auth")
}

// sshConn is a connection that has exchanged keys.
type sshConn struct {
	net.Conn
	in             *bufio.Reader
	encrypt        cipher.Stream
	decrypt        cipher.Stream
	macOut, macIn  []byte
	seqOut, seqIn  uint32
	clientV, servV string
	served         bool
}

func str(s string) string { return string(binary.BigEndian.AppendUint32(nil, uint32(len(s)))) + s }

func mpint(b []byte) string {
	b = bytes.TrimLeft(b, "\x00")
	if len(b) > 0 && b[0]&0x80 != 0 {
		b = append([]byte{0}, b...)
	}
	return str(string(b))
}

// packet frames a payload without encryption.
func packet(payload string) string {
	pad := 8 - (5+len(payload))%8
	if pad < 4 {
		pad += 8
	}
	return string(binary.BigEndian.AppendUint32(nil, uint32(1+len(payload)+pad))) + string(rune(pad)) + payload + strings.Repeat("\x00", pad)
}

// kexInit offers one algorithm of each kind.
func kexInit(kex string) string {
	cookie := make([]byte, 16)
	_, _ = rand.Read(cookie)
	var b strings.Builder
	b.WriteString("\x14" + string(cookie))
	for _, list := range []string{kex, "ssh-ed25519", "aes128-ctr", "aes128-ctr", "hmac-sha2-256", "hmac-sha2-256", "none", "none", "", ""} {
		b.WriteString(str(list))
	}
	return b.String() + "\x00\x00\x00\x00\x00"
}

// ssh connects, exchanges versions and keys, and lets talk go on.
func (c client) ssh(version string, talk func(*sshConn) error) error {
	conn, err := c.dial(22)
	if err != nil {
		return err
	}
	defer conn.Close()
	s := &sshConn{Conn: conn, in: bufio.NewReader(conn), clientV: version}
	if err := s.exchange(); err != nil {
		return err
	}
	return talk(s)
}

func (s *sshConn) exchange() error {
	if _, err := io.WriteString(s, s.clientV+"\r\n"); err != nil {
		return err
	}
	line, err := s.in.ReadString('\n')
	if err != nil {
		return err
	}
	s.servV = strings.TrimRight(line, "\r\n")
	mine := kexInit("curve25519-sha256")
	if err := s.write(mine[0], mine[1:]); err != nil {
		return err
	}
	theirs, err := s.read()
	if err != nil || theirs[0] != msgKexInit {
		return errors.Join(err, errors.New("no KEXINIT"))
	}
	key, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	public := string(key.PublicKey().Bytes())
	if err := s.write(msgKexECDHInit, str(public)); err != nil {
		return err
	}
	reply, err := s.read()
	if err != nil {
		return err
	}
	rest := reply[1:]
	hostKey, rest := cutString(rest)
	point, _ := cutString(rest)
	remote, err := ecdh.X25519().NewPublicKey(point)
	if err != nil {
		return err
	}
	shared, err := key.ECDH(remote)
	if err != nil {
		return err
	}
	k := mpint(shared)
	hash := sha256.Sum256([]byte(str(s.clientV) + str(s.servV) + str(mine) + str(string(theirs)) + str(string(hostKey)) + str(public) + str(string(point)) + k))
	if err := s.write(msgNewKeys, ""); err != nil {
		return err
	}
	if _, err := s.read(); err != nil {
		return err
	}
	derive := func(letter string) []byte {
		sum := sha256.Sum256([]byte(k + string(hash[:]) + letter + string(hash[:])))
		return sum[:]
	}
	stream := func(iv, key string) cipher.Stream {
		block, _ := aes.NewCipher(derive(key)[:16])
		return cipher.NewCTR(block, derive(iv)[:16])
	}
	s.encrypt, s.decrypt = stream("A", "C"), stream("B", "D")
	s.macOut, s.macIn = derive("E"), derive("F")
	return nil
}

func cutString(b []byte) (s, rest []byte) {
	if len(b) < 4 {
		return nil, nil
	}
	n := int(binary.BigEndian.Uint32(b))
	if n > len(b)-4 {
		return nil, nil
	}
	return b[4 : 4+n], b[4+n:]
}

func (s *sshConn) write(kind byte, rest string) error {
	payload := string([]byte{kind}) + rest
	var b []byte
	if s.encrypt == nil {
		b = []byte(packet(payload))
	} else {
		pad := 16 - (5+len(payload))%16
		if pad < 4 {
			pad += 16
		}
		b = binary.BigEndian.AppendUint32(nil, uint32(1+len(payload)+pad))
		b = append(append(append(b, byte(pad)), payload...), make([]byte, pad)...)
		mac := hmac.New(sha256.New, s.macOut)
		mac.Write(binary.BigEndian.AppendUint32(nil, s.seqOut))
		mac.Write(b)
		s.encrypt.XORKeyStream(b, b)
		b = mac.Sum(b)
	}
	s.seqOut++
	_, err := s.Write(b)
	return err
}

func (s *sshConn) read() ([]byte, error) {
	head := make([]byte, 4)
	if _, err := io.ReadFull(s.in, head); err != nil {
		return nil, err
	}
	if s.decrypt != nil {
		s.decrypt.XORKeyStream(head, head)
	}
	n := binary.BigEndian.Uint32(head)
	if n < 2 || n > 256<<10 {
		return nil, errors.New("a packet of a strange length")
	}
	body := make([]byte, n)
	if _, err := io.ReadFull(s.in, body); err != nil {
		return nil, err
	}
	if s.decrypt != nil {
		s.decrypt.XORKeyStream(body, body)
		if _, err := io.CopyN(io.Discard, s.in, sha256.Size); err != nil {
			return nil, err
		}
	}
	s.seqIn++
	pad := int(body[0])
	if pad+2 > len(body) {
		return nil, errors.New("a packet of padding")
	}
	return body[1 : len(body)-pad], nil
}

// ask sends and reads the answer.
func (s *sshConn) ask(kind byte, rest string) error {
	_, err := s.answer(kind, rest)
	return err
}

func (s *sshConn) answer(kind byte, rest string) ([]byte, error) {
	if err := s.write(kind, rest); err != nil {
		return nil, err
	}
	for {
		payload, err := s.read()
		if err != nil {
			return nil, err
		}
		switch payload[0] {
		case msgIgnore, msgUnimplemented, msgDebug, 7: // 7: extensions
			continue
		}
		return payload, nil
	}
}

func (s *sshConn) service() error {
	if s.served {
		return nil
	}
	s.served = true
	return s.ask(msgServiceRequest, str("ssh-userauth"))
}

func (s *sshConn) auth(user, method, rest string) error {
	if err := s.service(); err != nil {
		return err
	}
	return s.ask(msgAuthRequest, str(user)+str("ssh-connection")+str(method)+rest)
}

func (s *sshConn) password(user, password string) error {
	return s.auth(user, "password", "\x00"+str(password))
}

// interactive answers what PAM asks with a password.
func (s *sshConn) interactive(user, password string) error {
	if err := s.auth(user, "keyboard-interactive", str("")+str("")); err != nil {
		return err
	}
	return s.ask(msgAuthInfoReply, "\x00\x00\x00\x01"+str(password))
}
