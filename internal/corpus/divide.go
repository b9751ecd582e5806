package corpus

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
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
