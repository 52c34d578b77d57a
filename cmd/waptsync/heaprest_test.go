package main

import (
	"slices"
	"testing"
	"time"
)

func TestTheHeapIsGivenBackAfterWork(t *testing.T) {
	begin := time.Unix(1e9, 0)
	for _, c := range []struct {
		name   string
		allocs []uint64 // MiB allocated before each look
		gives  []int    // looks that give the heap back
	}{
		{"idle", []uint64{5, 0, 0, 0, 0}, nil},
		{"work, then rest", []uint64{500, 500, 1, 0, 0}, []int{2, 18}},
		{"small work adds up", []uint64{20, 0, 20, 0, 0}, []int{3, 19}},
		{"work again before it settled", []uint64{500, 0, 0, 500, 0}, []int{1, 4, 20}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var r heapRest
			var total uint64
			var gives []int
			for i := range 40 {
				if i < len(c.allocs) {
					total += c.allocs[i] << 20
				}
				if r.look(begin.Add(time.Duration(i)*heapLook), total) {
					gives = append(gives, i)
				}
			}
			if !slices.Equal(gives, c.gives) {
				t.Errorf("given back at %v, want %v", gives, c.gives)
			}
		})
	}
}
