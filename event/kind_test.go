package event

import "testing"

func TestKindText(t *testing.T) {
	if n := len(Kinds()); n != 8 {
		t.Errorf("%d kinds, want 8", n)
	}
	for _, k := range Kinds() {
		text, err := k.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		var back Kind
		if err := back.UnmarshalText(text); err != nil || back != k {
			t.Errorf("%q came back as %v, %v", text, back, err)
		}
	}
	var k Kind
	if err := k.UnmarshalText([]byte("auth-failures")); err == nil {
		t.Error("an unknown kind was taken")
	}
	for _, none := range []Kind{0, kindEnd, 255} {
		if _, err := none.MarshalText(); err == nil {
			t.Errorf("%v was written", none)
		}
	}
}

func TestReputationHolds(t *testing.T) {
	zero := Reputation{MinScore: 0, MaxScore: 0}
	if !zero.Holds(0) || zero.Holds(1) {
		t.Error("a condition on score 0 must hold for 0 alone")
	}
}
