// Package bandwidth says how much a remote may take from its line to the main,
// and when: rules such as
//
//	2 Mbit/s
//	Mo-Fr 08:00-18:00 2 Mbit/s; else unlimited
//	20:00-06:00 unlimited; else only wapt-host
//	Sa,Su off
//
// A rule is parts between semicolons. A part says when it holds and what may
// flow then; the first part that holds decides, and where none does everything
// may flow.
//
//	when  days (Mo Tu We Th Fr Sa Su, lists and ranges), times (08:00-12:00,
//	      lists; a time that ends before it begins ends on the next day), both,
//	      or "else", or nothing for always
//	what  "unlimited", "off", a rate in kbit/s, Mbit/s or Gbit/s, or "only" and
//	      names of shares, which may be followed by a rate
//
// A rule is asked about a moment and remembers none, so a clock that is set back
// or a day of 23 hours does it no harm. Days and times are those of the clock's
// location. Values are immutable and may be used concurrently.
//
// This room imports none of the others: main and remote both need it.
package bandwidth
