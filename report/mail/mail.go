// Package mail sends alerts to the operator by mail: it is the Sender "mail". It speaks SMTP to one server that takes the
// mail from there; it queues nothing (the outbox does) and knows no MX. What a mail holds may be an attacker's choice, so
// everything in it is made harmless first, and it is plain text.
package mail

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"os"
	"strings"
	"time"

	"github.com/wneessen/go-mail"
	"github.com/wneessen/go-mail/smtp"

	"tattled/event"
	"tattled/report"
	"tattled/setting"
)

// Destination is the name of this Sender.
const Destination = "mail"

// greylistWait is how long a mail waits for all recipients. A server that takes it for some and not yet for others (grey
// listing) is asked again, so that nobody gets it twice; after that, those get it who can.
const greylistWait = time.Hour

// quitTimeout is how long the server may take to answer QUIT.
const quitTimeout = 2 * time.Second

// Sender sends mails. One call of Send is made at a time.
type Sender struct {
	config   Config
	password *setting.Secret // behind a pointer, for fmt looks into unexported fields
	host     string          // of this machine, for subject and HELO
	server   string          // without the port
	domain   string          // of From
	tls      *tls.Config
}

// New returns a sender for c, which has passed its Check. It reads the file of certificates, if there is one.
func New(c Config, password setting.Secret) (*Sender, error) {
	c = c.WithDefaults()
	var faults []string
	c.Check(func(path, problem string) { faults = append(faults, path+": "+problem) })
	if len(faults) > 0 {
		return nil, fmt.Errorf("mail: %s", strings.Join(faults, "; "))
	}
	from, err := address(c.From)
	if err != nil {
		return nil, fmt.Errorf("mail: from: %w", err)
	}
	s := &Sender{config: c, password: &password, host: hostName(c.Host)}
	if c.Host == "" {
		name, err := os.Hostname()
		if err != nil {
			return nil, fmt.Errorf("mail: look up this machine's name (alerts.mail.host sets another): %w", err)
		}
		s.host = hostName(name)
	}
	s.server, _, _ = net.SplitHostPort(c.Server)
	s.domain = from.Address[strings.LastIndexByte(from.Address, '@')+1:]
	s.tls = &tls.Config{ServerName: s.server, MinVersion: tls.VersionTLS12}
	if c.CAFile != "" {
		if s.tls.RootCAs, err = authorities(c.CAFile); err != nil {
			return nil, fmt.Errorf("mail: ca_file: %w", err)
		}
	}
	return s, nil
}

// authorities reads the certificates of a file.
func authorities(path string) (*x509.CertPool, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s holds no PEM certificate", path)
	}
	return pool, nil
}

// hostName returns name if it can stand in a HELO, else localhost.
func hostName(name string) string {
	if name == "" || len(name) > 253 || strings.Trim(strings.ToLower(name), "abcdefghijklmnopqrstuvwxyz0123456789.-_") != "" {
		return "localhost"
	}
	return name
}

// Destination returns "mail".
func (s *Sender) Destination() string { return Destination }

// Send delivers the mail about r to the server. See report.Sender.
func (s *Sender) Send(ctx context.Context, r *event.Report) report.Outcome {
	m, err := s.message(r)
	if err != nil {
		return s.say(report.Rejected, "the mail could not be built", err)
	}
	ctx, cancel := context.WithTimeout(ctx, s.config.Timeout.D())
	defer cancel()
	client, conn, err := s.dial(ctx)
	if conn != nil {
		defer conn.Close()
	}
	if err != nil {
		return s.unreachable(err)
	}
	out := s.deliver(client, m, r)
	if out.Result == report.Delivered { // the mail is in: how the conversation ends changes nothing
		conn.SetDeadline(time.Now().Add(quitTimeout))
		_ = client.Quit()
	}
	return out
}

// dial connects, and gets as far as the server's being ready for a mail: greeting, STARTTLS, authentication. It returns
// the connection even if what followed failed; the connection is closed when ctx ends.
func (s *Sender) dial(ctx context.Context) (client *smtp.Client, conn net.Conn, err error) {
	options := []mail.Option{
		mail.WithTimeout(s.config.Timeout.D()),
		mail.WithHELO(s.host),
		mail.WithTLSConfig(s.tls),
		mail.WithTLSPolicy(map[string]mail.TLSPolicy{
			Mandatory: mail.TLSMandatory, Opportunistic: mail.TLSOpportunistic, Implicit: mail.NoTLS, None: mail.NoTLS,
		}[s.config.TLS]),
		mail.WithDialContextFunc(func(context.Context, string, string) (net.Conn, error) {
			raw, err := (&net.Dialer{}).DialContext(ctx, "tcp", s.config.Server)
			if err != nil {
				return nil, err
			}
			// All that follows waits on the connection and not on the context, so the one ends with the other.
			context.AfterFunc(ctx, func() { raw.Close() })
			conn = raw
			if s.config.TLS == Implicit {
				return tls.Client(raw, s.tls), nil
			}
			return raw, nil
		}),
	}
	if s.config.Username != "" {
		options = append(options, mail.WithUsername(s.config.Username), mail.WithPassword(s.password.Reveal()),
			mail.WithOpportunisticSMTPAuth(s.mechanisms()...))
	}
	c, err := mail.NewClient(s.server, options...)
	if err != nil {
		return nil, nil, err
	}
	client, err = c.DialToSMTPClientWithContext(ctx)
	return client, conn, err
}

// mechanisms are the ways to authenticate, the best first. Those that show the password are for TLS, and for a server on
// this machine.
func (s *Sender) mechanisms() []mail.SMTPAuthType {
	all := []mail.SMTPAuthType{mail.SMTPAuthSCRAMSHA256, mail.SMTPAuthSCRAMSHA1, mail.SMTPAuthCramMD5}
	if s.config.TLS == None || s.config.TLS == Opportunistic { // to loopback only, see Config.Check
		return append(all, mail.SMTPAuthPlainNoEnc, mail.SMTPAuthLoginNoEnc)
	}
	return append(all, mail.SMTPAuthPlain, mail.SMTPAuthLogin)
}

// unreachable judges an error from before the mail: it is about the server and us, not about this mail.
func (s *Sender) unreachable(err error) report.Outcome {
	var answer *textproto.Error
	var network net.Error
	var garbage textproto.ProtocolError
	switch {
	case errors.As(err, &answer) && answer.Code/100 == 5:
		return s.say(report.Paused, "the mail server refuses us", err)
	case errors.As(err, &answer), errors.As(err, &network), errors.As(err, &garbage), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF),
		errors.Is(err, net.ErrClosed), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return s.say(report.Later, "the mail server cannot be reached", err)
	default: // no STARTTLS, a certificate that does not fit, no way to authenticate: a setting is wrong
		return s.say(report.Paused, "the mail server and the settings do not match", err)
	}
}

// deliver hands the mail over.
func (s *Sender) deliver(client *smtp.Client, m *mail.Msg, r *event.Report) report.Outcome {
	from, err := m.GetSender(false)
	if err != nil {
		return s.say(report.Rejected, "the mail could not be built", err)
	}
	recipients, err := m.GetRecipients()
	if err != nil {
		return s.say(report.Rejected, "the mail could not be built", err)
	}
	if err := client.Mail(from); err != nil {
		return s.refused("the mail server refuses the sender", err)
	}
	taken, later, never := 0, error(nil), error(nil)
	for _, to := range recipients {
		switch err := client.Rcpt(to); {
		case err == nil:
			taken++
		case code(err)/100 == 5:
			never = err
		default:
			later = err
		}
	}
	waited := time.Since(r.Judged)
	switch patient := waited >= 0 && waited < greylistWait; {
	case later != nil && (taken == 0 || patient):
		return s.refused("the mail server does not accept it for all recipients yet", later)
	case taken == 0:
		return s.refused("the mail server refuses every recipient", never)
	}
	if out := s.data(client, m); out.Result != report.Delivered {
		return out
	}
	if missed := errors.Join(never, later); missed != nil {
		return s.say(report.Delivered, "not for all recipients", missed)
	}
	return report.Outcome{Result: report.Delivered}
}

// data sends the mail itself.
func (s *Sender) data(client *smtp.Client, m *mail.Msg) report.Outcome {
	w, err := client.Data()
	if err != nil {
		return s.refused("the mail server does not accept the mail", err)
	}
	if _, err := m.WriteTo(w); err != nil {
		return s.say(report.Later, "the mail could not be sent", err) // without its end, so it cannot have arrived
	}
	if err := w.Close(); err != nil {
		out := s.refused("the mail server does not accept the mail", err)
		out.Unanswered = code(err) == 0
		return out
	}
	return report.Outcome{Result: report.Delivered}
}

// refused judges an error of the conversation about a mail: by the server's answer, if there is one.
func (s *Sender) refused(what string, err error) report.Outcome {
	switch c := code(err); {
	case c == 530, c == 534, c == 535, c == 538:
		return s.say(report.Paused, what, err) // RFC 4954: authentication required, or not good enough
	case c/100 == 5:
		return s.say(report.Rejected, what, err)
	default:
		return s.say(report.Later, what, err)
	}
}

// code returns the server's answer, 0 if there was none.
func code(err error) int {
	if answer, ok := errors.AsType[*textproto.Error](err); ok {
		return answer.Code
	}
	return 0
}

// say makes an outcome that tells of err, without the password should a server echo it.
func (s *Sender) say(result report.Result, what string, err error) report.Outcome {
	text := what + ": " + err.Error()
	if secret := s.password.Reveal(); secret != "" {
		text = strings.ReplaceAll(text, secret, "<secret>")
	}
	return report.Outcome{Result: result, Detail: report.Harmless(text, report.MaxDetail)}
}
