package detect

import (
	"tattled/detect/rulefile"
	"tattled/detect/stamp"
)

// What the rooms behind this package define, and its callers use, by the names that they know it by.

// Fault is something wrong with a rule file, a sample or an option.
type Fault = rulefile.Fault

// Stamp is when something happened by a message's own word.
type Stamp = stamp.Stamp
