package main

// notify does nothing: sd_notify(3) is a matter of systemd.
func notify(socket, state string) error { return nil }
