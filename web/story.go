package web

import (
	"errors"
	"net/http"
	"net/netip"
	"time"

	"tattled/policy"
)

// maxStory bounds the items of an address in its story.
const maxStory = 100

// StoryAnswer is the answer of /api/v1/addresses/{ip} on the control socket: what the page has, and all that became of it.
type StoryAnswer struct {
	AddressAnswer
	Refused string       `json:"refused,omitempty"` // why the gate lets nothing about the address go to a third party now; absent if it does
	Because string       `json:"because,omitempty"` // the same for a person, as the end of "it is not reported, because ..."
	Score   *ScoreAnswer `json:"score,omitempty"`   // of AbuseIPDB, if it was asked for
	Events  []StoryEvent `json:"recent"`            // ascending, at most 16; in place of AddressAnswer's
	Items   []Item       `json:"items"`             // reports and alerts, the newest first, at most 100
}

// ScoreAnswer is an AbuseIPDB confidence score.
type ScoreAnswer struct {
	Score      int       `json:"score"`
	MaxAgeDays int       `json:"max_age_days"` // of the reports that it counts
	Asked      time.Time `json:"asked"`
}

// StoryEvent is an event, and why it can lead to no report.
type StoryEvent struct {
	Event
	Refused string `json:"refused,omitempty"`
	Because string `json:"because,omitempty"`
}

// serveStory answers with all that is known of an address. It looks at the whole outbox.
func (s *Server) serveStory(w http.ResponseWriter, r *http.Request) {
	if !only(w, r) {
		return
	}
	addr, err := netip.ParseAddr(r.PathValue("ip"))
	if err != nil {
		fail(w, r, http.StatusBadRequest, "That is not an IP address.")
		return
	}
	answer, err := s.story(addr.Unmap().WithZone(""))
	switch {
	case errors.Is(err, errUnknown):
		fail(w, r, http.StatusNotFound, "No event of this address is kept.")
	case err != nil:
		s.failStore(w, r, err)
	default:
		answerJSON(w, r, http.StatusOK, answer)
	}
}

func (s *Server) story(addr netip.Addr) (*StoryAnswer, error) {
	items, err := s.deps.Store.ItemsOf(addr, maxStory)
	if err != nil {
		return nil, err
	}
	known, err := s.address(addr)
	switch {
	case errors.Is(err, errUnknown) && len(items) > 0: // the address was evicted, and what was sent about it was not
		known = &AddressAnswer{Network: networkText(policy.Network(addr)), Kinds: map[string]uint64{}, Reported: []ReportedAnswer{}, Recent: []Event{}}
	case err != nil:
		return nil, err
	}
	answer := &StoryAnswer{AddressAnswer: *known, Events: []StoryEvent{}, Items: viewItems(items)}
	if err := s.storyEvents(addr, answer); err != nil {
		return nil, err
	}
	if score, ok := s.deps.Store.NewestScore(addr); ok {
		answer.Score = &ScoreAnswer{score.Value, int(score.MaxAge / (24 * time.Hour)), plain(score.At)}
	}
	if s.deps.Gate != nil {
		answer.Refused, answer.Because = s.deps.Gate.RefuseNetwork(netip.PrefixFrom(addr, addr.BitLen()))
	}
	return answer, nil
}

// storyEvents adds the newest events, with what the gate says of each.
func (s *Server) storyEvents(addr netip.Addr, answer *StoryAnswer) error {
	known, ok, err := s.deps.Store.Address(addr)
	if err != nil || !ok {
		return err
	}
	for _, seq := range known.Events {
		found, err := s.deps.Store.Events(seq-1, 1)
		if err != nil {
			return err
		}
		if len(found) != 1 || found[0].Seq != seq {
			continue
		}
		one := StoryEvent{Event: viewEvent(&found[0])}
		if s.deps.Gate != nil {
			one.Refused, one.Because = s.deps.Gate.RefuseEvent(&found[0])
		}
		answer.Events = append(answer.Events, one)
	}
	return nil
}
