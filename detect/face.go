package detect

import "tattled/detect/stamp"

// What the rooms behind this package define, and its callers use, by the names that they know it by.

// Stamp is when something happened by a message's own word.
type Stamp = stamp.Stamp
