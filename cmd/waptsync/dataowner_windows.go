package main

// actAsOwner changes nothing: access lists are inherited from the data folder.
func actAsOwner(string) error { return nil }
