package setting

// maxDistance is what EditDistance returns at most: names that are longer in bytes are far from each other.
const maxDistance = 64

// EditDistance counts the bytes to insert, drop or change to make b of a (Levenshtein), 64 at most. It is for asking people
// whether they meant another name.
func EditDistance(a, b string) int {
	if max(len(a), len(b)) > maxDistance {
		return maxDistance
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// Nearest returns the name among known that name was most likely meant to be, "" if none is near.
func Nearest(name string, known []string) string {
	best, distance := "", 3
	for _, k := range known {
		if n := EditDistance(name, k); n < distance && n < len(name) {
			best, distance = k, n
		}
	}
	return best
}
