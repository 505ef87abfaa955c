package tail

import (
	"bytes"
	"io"

	"tattled/receiver"
)

// previewSize is how much of the end of a file is shown before it is read, in bytes.
const previewSize = blockSize

// preview shows the handler the last lines of f, if it wants to see them. What cannot be read here is told of when it is read.
func (r *Receiver) preview(fl *follower, f *file) {
	p, wanted := r.handler.(receiver.Previewer)
	if !wanted {
		return
	}
	lines := lastLines(f.f, f.info.Size(), r.block[:previewSize])
	for len(lines) > 0 {
		records, count := r.splitter.Split(lines, r.now, r.records[:0])
		if count.Bytes == 0 {
			return
		}
		lines = lines[count.Bytes:]
		p.Preview(&receiver.Batch{Source: r.source, Reporter: r.config.Reporter, Received: r.now, Records: records, Stream: fl.stream, Location: r.zone})
	}
}

// LastLines returns the last complete lines of the file at path, of 64 KiB at most. It reads regular files only.
func LastLines(path string) ([]byte, error) {
	f, info, err := open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return lastLines(f, info.Size(), make([]byte, previewSize)), nil
}

// lastLines reads into room what f, of size bytes, ends with, and returns the complete lines of it.
func lastLines(f io.ReaderAt, size int64, room []byte) []byte {
	from := max(0, size-int64(len(room)))
	n, _ := f.ReadAt(room[:size-from], from) // it may have become shorter meanwhile
	lines := room[:n]
	if from > 0 { // its beginning was cut off
		lines = lines[bytes.IndexByte(lines, '\n')+1:]
	}
	return lines[:bytes.LastIndexByte(lines, '\n')+1]
}
