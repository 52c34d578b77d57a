// Package publisher turns a folder into events, objects and answers to
// fetches.
//
// It promises that the newest event of each path says what the folder holds,
// soon after a writer is done and at the latest after the next scan; that
// content is published only with the digest of bytes that did not change while
// they were read; and that a folder which is missing, replaced or suddenly
// empty never becomes deletions without an administrator's word.
//
// # How a change travels
//
// Watch events, scans, timers and fetches give hints: "look at this path". One
// goroutine, [session], owns all decisions: it looks (lstat), compares with the
// published [tree], and makes a [work] of what differs. A file goes to the
// hashers, which ask whether a writer is still there, read, and look again. What
// is ready goes to the committer in batches, and when the event log has it, to
// the tree. A path has at most one work; a hint that comes while it is under way
// makes the path be looked at again afterwards.
//
// A path that is gone waits a moment before its tombstone, because WAPT unlinks
// what it is about to replace, and because a rename shows as a path that is gone
// and another that has its file.
package publisher
