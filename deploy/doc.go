// Package deploy holds the tests of what surrounds the program where it runs:
// packages, units, web servers' sites, the agents' package and the containers.
// Each uses the real thing and is skipped, with a message, where it is missing.
package deploy
