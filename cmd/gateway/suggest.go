package main

import "fmt"

// nearest is a question about which of the names may have been meant by a word that is none of
// them; empty if no name is near.
func nearest(word string, names []string) string {
	best, least := "", 1+(len(word)+2)/4 // one slip in short words, more in longer ones
	for _, name := range names {
		if d := distance(word, name); d <= least && (best == "" || d < distance(word, best)) {
			best = name
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("did you mean %q?", best)
}

// distance counts the bytes to insert, remove, change, or swap with their neighbour, that lie
// between two words (optimal string alignment).
func distance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before, last, row = last, row, before
		row[0] = i + 1
		for j := range len(b) {
			row[j+1] = min(last[j+1]+1, row[j]+1, last[j]+1)
			switch {
			case a[i] == b[j]:
				row[j+1] = min(row[j+1], last[j])
			case i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j]:
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
	}
	return row[len(b)]
}
