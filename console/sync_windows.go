package console

// syncFolder does nothing: Windows cannot sync a folder, and NTFS keeps its
// renames in a journal.
func syncFolder(string) error { return nil }
