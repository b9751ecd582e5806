package weights

import (
	"encoding/binary"
	"fmt"
	"math"
)

// Finite returns an error that names the first value of the file that is infinite or not a number. Types that hold no
// weights are passed over: who uses them refuses them.
func (f *File) Finite() error {
	for _, t := range f.tensors {
		if err := t.Finite(); err != nil {
			return err
		}
	}
	return nil
}

// Finite is File.Finite for one tensor. It reads the data as it is stored and converts nothing.
func (t Tensor) Finite() error {
	switch b := t.Data; t.DType {
	case F32:
		for i := 0; i+4 <= len(b); i += 4 {
			if u := binary.LittleEndian.Uint32(b[i:]); u&0x7f800000 == 0x7f800000 {
				return t.notFinite(i/4, math.Float32frombits(u))
			}
		}
	case BF16:
		for i := 0; i+2 <= len(b); i += 2 {
			if u := binary.LittleEndian.Uint16(b[i:]); u&0x7f80 == 0x7f80 {
				return t.notFinite(i/2, math.Float32frombits(uint32(u)<<16))
			}
		}
	case F16:
		for i := 0; i+2 <= len(b); i += 2 {
			if u := binary.LittleEndian.Uint16(b[i:]); u&0x7c00 == 0x7c00 {
				return t.notFinite(i/2, FromHalf(u))
			}
		}
	}
	return nil
}

func (t Tensor) notFinite(i int, v float32) error {
	return fmt.Errorf("tensor %s: element %d is %v, so the model can say nothing: the training that made it diverged, or the file is broken", t.Name, i, v)
}
