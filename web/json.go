package web

import (
	"bytes"
	"encoding/json"
)

// encode writes v as JSON and a line end, as people read it: <, > and & as they are. It is never written into HTML, where they would
// be markup: the page gets its JSON from the event stream.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return b.Bytes(), err
}
