package attack
func webDaemons() []daemon { return nil }
