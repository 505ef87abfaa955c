package store_test

import (
	"encoding/binary"
	"fmt"
	"testing"

	"tattled/store"
	"tattled/store/mem"
	"tattled/store/storetest"
)

// A store of schema 1, in which each event has a record of its own, is read, goes on, and loses its oldest events one by one; from
// then on an older release refuses it.
func TestStoreOfAnOlderRelease(t *testing.T) {
	const old = 40
	b := mem.New(0)
	o := storetest.Options()
	o.Events = 50
	err := b.Update(func(tx store.Tx) error {
		if err := tx.Put(store.Meta, []byte(store.SchemaKey), store.SealSchema(1)); err != nil {
			return err
		}
		for seq := range uint64(old) {
			key := binary.BigEndian.AppendUint64(nil, seq+1)
			if err := tx.Put(store.Events, key, store.SealOldEvent(key, fmt.Sprint("old ", seq+1))); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	s, _ := open(t, b, o)
	if n := s.Stats().Events; n != old {
		t.Errorf("%d events are counted", n)
	}
	for i := range 5 { // records of seven events
		commit(t, s, from("45.1.1.1", 7, storetest.Event(i).Time)...)
	}
	for range 2 {
		all, err := s.Events(0, 1000)
		if err != nil || len(all) != 50 || s.Stats().Events != 50 || s.Stats().LastSeq != old+35 {
			t.Fatalf("%d events, %v, %+v", len(all), err, s.Stats())
		}
		for i, e := range all {
			if e.Seq != uint64(26+i) || e.Seq <= old != (e.Line == fmt.Sprint("old ", e.Seq)) {
				t.Errorf("event %d: %d, %q", i, e.Seq, e.Line)
			}
		}
		for seq := uint64(26); seq <= old+35; seq++ {
			if one, err := s.Events(seq-1, 1); err != nil || len(one) != 1 || one[0].Seq != seq {
				t.Errorf("event %d by itself: %+v, %v", seq, one, err)
			}
		}
		if latest, err := s.Latest(10); err != nil || len(latest) != 10 || latest[0].Seq != old+26 || latest[9].Seq != old+35 {
			t.Errorf("the latest: %+v, %v", latest, err)
		}
		s, _ = open(t, b, o)
	}
	for range 7 { // so many that a record of seven is cut
		commit(t, s, from("45.1.1.1", 4, storetest.Event(9).Time)...)
	}
	if all, err := s.Events(0, 1000); err != nil || len(all) != 50 || all[0].Seq != old+35+28-49 {
		t.Errorf("%d events from %d on, %v", len(all), all[0].Seq, err)
	}
	err = b.View(func(tx store.ReadTx) error {
		if string(tx.Get(store.Meta, []byte(store.SchemaKey))) != string(store.SealSchema(store.Schema)) {
			t.Error("an older release would read it")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
