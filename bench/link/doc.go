// Package link makes two hosts of one machine: network namespaces joined by a
// veth pair, whose traffic never leaves the machine and is counted.
//
// The line between them can be limited to a rate, or be replaced by a bad one
// with a delay and loss. It needs Linux, root and iproute2.
package link
