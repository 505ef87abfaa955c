package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"sync"

	"tattled/daemon"
	"tattled/detect"
	"tattled/receiver"
	"tattled/receiver/replay"
)

// scan is one call of `tattled match`. Its goroutines take turns in cutting the next block off the log, judge it where they
// have it (what one processor has just read is far away for another), and settle it in the order of the log:
//
//	cut -> judge -> settle    one goroutine; from scan.inline blocks on, as many as there are jobs
//
// There are only so many blocks, so memory is bounded. The output does not depend on how many goroutines there are.
type scan struct {
	rules  *detect.Rules
	jobs   int
	inline int         // blocks of a log that one goroutine judges before others get to work
	print  printer     // of findings; nil for --summary
	tally  *matchTally // of --summary

	cutting sync.Mutex // guards what belongs to the log that is being read:
	cutter  *replay.Cutter
	blocks  int64 // cut so far
	number  int64 // of the last line that was cut, where lines are numbered
	ended   error // why no more is to be cut: io.EOF at the log's end
	waited  bool  // reading has to wait

	settling sync.Mutex // guards what becomes of the findings:
	spare    []*block
	more     sync.Cond // there is a spare block
	judged   []*block  // judged, but an earlier block was not; by its number, modulo their count
	settled  int64     // blocks
	out      *bufio.Writer
	idle     bool  // reading waits, so nothing is to be held back
	err      error // of writing

	lines, matched, refused int64
	shapes                  [detect.Shapes]int64 // of access logs' lines that matched or were refused

	form   *detect.Form // as declared; nil
	misfit int64        // lines that are not of that form
}

// block is a part of a log, and what was found in it.
type block struct {
	replay.Block
	index                   int64 // among all blocks, from 0
	first                   int64 // the number of its first line, where lines are numbered
	lines, matched, refused int64
	misfit                  int64
	shapes                  [detect.Shapes]int64
	text                    []byte // findings as they are to be printed
	hits                    []hit  // findings to be counted
}

// hit is a finding as --summary sees it.
type hit struct {
	rule *detect.Rule
	addr netip.Addr
}

// Blocks of a quarter of a mebibyte. Sharing costs processor time, so it begins with the first mebibyte where somebody
// asked for it, and otherwise where a log takes longer than people notice.
const (
	fewBlocks  = 4
	manyBlocks = 1024
)

func newScan(rules *detect.Rules, jobs int, out *bufio.Writer) *scan {
	s := &scan{rules: rules, jobs: jobs, inline: fewBlocks, out: out}
	s.more.L = &s.settling
	for range 2*jobs - 1 { // to judge, and to wait for an earlier one
		s.spare = append(s.spare, new(block))
	}
	s.judged = make([]*block, len(s.spare))
	return s
}

// run reads one log to its end, or to that of ctx. What was found until then is written, whatever it returns. show is told
// of progress after each block.
func (s *scan) run(ctx context.Context, in io.Reader, o replay.Options, show func()) error {
	s.cutter, s.ended = replay.NewCutter(in, o.MaxLine), nil
	here := newJudge(s, o)
	for range s.inline {
		s.step(ctx, here, show)
	}
	var others sync.WaitGroup
	if s.ended == nil {
		for range s.jobs - 1 {
			others.Go(func() {
				for j := newJudge(s, o); s.step(ctx, j, show); {
				}
			})
		}
	}
	for s.step(ctx, here, show) {
	}
	others.Wait()
	if s.err != nil || errors.Is(s.ended, io.EOF) {
		return s.err
	}
	return s.ended
}

// step takes one block from the log to the output, unless there is no more.
func (s *scan) step(ctx context.Context, j *judge, show func()) bool {
	b := s.take()
	if b == nil {
		return false
	}
	if !s.cut(ctx, b, show) {
		s.giveBack(b)
		return false
	}
	j.judge(ctx, b)
	s.settle(b)
	return true
}

// take waits for a spare block, the one that was used last because the processor has it at hand. It returns nil if no more
// can be written.
func (s *scan) take() *block {
	s.settling.Lock()
	defer s.settling.Unlock()
	for len(s.spare) == 0 {
		s.more.Wait()
	}
	if s.err != nil {
		return nil
	}
	last := len(s.spare) - 1
	b := s.spare[last]
	s.spare = s.spare[:last]
	return b
}

func (s *scan) giveBack(b *block) {
	s.settling.Lock()
	defer s.settling.Unlock()
	s.spare = append(s.spare, b)
	s.more.Signal()
}

// cut fills b with the next lines of the log. It returns false if there are none.
func (s *scan) cut(ctx context.Context, b *block, show func()) bool {
	s.cutting.Lock()
	defer s.cutting.Unlock()
	if s.ended != nil {
		return false
	}
	s.ended = s.cutter.Next(ctx, &b.Block)
	if s.waited {
		s.waited = false
		s.hold()
	}
	if s.ended != nil {
		return false
	}
	b.index = s.blocks
	s.blocks++
	if s.print != nil {
		b.first = s.number + 1
		s.number += int64(bytes.Count(b.Lines, []byte("\n")))
	}
	show()
	return true
}

// beginWait writes out what was found so far, and what will be: reading is about to wait. The goroutine that cuts calls it.
func (s *scan) beginWait() {
	s.waited = true
	s.settling.Lock()
	defer s.settling.Unlock()
	s.idle = true
	s.flush()
}

// hold ends beginWait.
func (s *scan) hold() {
	s.settling.Lock()
	defer s.settling.Unlock()
	s.idle = false
}

func (s *scan) flush() {
	if err := s.out.Flush(); err != nil && s.err == nil {
		s.err = fmt.Errorf("write: %w", err)
	}
}

// settle writes or counts what was found in b, if all before it was settled, and what was judged behind it.
func (s *scan) settle(b *block) {
	s.settling.Lock()
	defer s.settling.Unlock()
	s.judged[b.index%int64(len(s.judged))] = b
	for {
		slot := &s.judged[s.settled%int64(len(s.judged))]
		if *slot == nil {
			break
		}
		s.add(*slot)
		s.spare = append(s.spare, *slot)
		*slot = nil
		s.settled++
		s.more.Signal()
	}
	if s.idle {
		s.flush()
	}
}

// add takes over what was found in a block.
func (s *scan) add(b *block) {
	s.lines += b.lines
	s.matched += b.matched
	s.refused += b.refused
	s.misfit += b.misfit
	for i, n := range b.shapes {
		s.shapes[i] += n
	}
	for i := range b.hits {
		s.tally.count(&b.hits[i])
	}
	if len(b.text) > 0 {
		if _, err := s.out.Write(b.text); err != nil && s.err == nil {
			s.err = fmt.Errorf("write: %w", err)
		}
	}
}

// judge finds what is in blocks. It is a receiver.Handler for one goroutine.
type judge struct {
	rules   *detect.Rules
	form    *detect.Form
	print   printer
	lines   *replay.Lines
	reader  daemon.Reader
	finding detect.Finding
	block   *block
}

func newJudge(s *scan, o replay.Options) *judge {
	return &judge{rules: s.rules, form: s.form, print: s.print, lines: replay.NewLines(o)}
}

func (j *judge) judge(ctx context.Context, b *block) {
	b.lines, b.matched, b.refused, b.text, b.hits = 0, 0, 0, b.text[:0], b.hits[:0]
	b.shapes, b.misfit = [detect.Shapes]int64{}, 0
	j.block = b
	_ = j.lines.Hand(ctx, &b.Block, j) // fails as Handle does: never
}

// Handle implements receiver.Handler.
func (j *judge) Handle(_ context.Context, batch *receiver.Batch) error {
	b := j.block
	for i := range batch.Records {
		r := &batch.Records[i]
		b.lines++
		verdict := j.rules.DetectKnown(r.Program, r.Message, detect.Known{Cut: r.Cut, Form: j.form}, &j.finding)
		if verdict != detect.Matched && j.reader.May(r, &j.finding) {
			verdict = j.reader.Within(j.rules, r, batch, j.form, &j.finding)
		}
		switch verdict {
		case detect.Ignored:
			if r.Cut {
				b.refused++
			}
		case detect.Matched:
			b.matched++
			b.shapes[j.finding.Shape]++
			if j.print == nil {
				b.hits = append(b.hits, hit{j.finding.Rule, j.finding.Addr})
			} else {
				b.text = j.print(b.text, newFound(b.first+b.lines-1, r, batch, &j.finding))
			}
		case detect.Refused:
			b.refused++
			b.shapes[j.finding.Shape]++
			if j.finding.Refusal == detect.OtherForm {
				b.misfit++
			}
		}
	}
	return nil
}
