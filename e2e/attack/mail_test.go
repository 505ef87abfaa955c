package attack
func mailDaemons() []daemon { return nil }
func ftpDaemons() []daemon { return nil }
func otherDaemons() []daemon { return nil }
