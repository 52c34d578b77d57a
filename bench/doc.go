// Command bench measures waptsync beside other ways of keeping two folders
// equal: rsync, lsyncd, rclone and Syncthing, where they are installed.
//
// All run in the same two network namespaces on the same source trees, and a
// measurement counts only when the remote's tree equals the main's in names,
// sizes and SHA-256. waptsync is used by its command line only. README.md says
// what is measured and how to repeat it.
package main
