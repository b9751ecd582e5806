package langdetect

import (
	"math"
	"math/bits"
)

// A twister is Python's random.Random: MT19937 (Matsumoto & Nishimura 1998), seeded and read as CPython does. It draws no
// randomness from outside: the numbers are part of the method that this package reproduces.
type twister struct {
	state [624]uint32
	at    int
	spare float64 // the second of a pair of normal deviates
	has   bool
}

// newTwister is random.seed(seed) for a seed below 2^32.
func newTwister(seed uint32) *twister {
	t := &twister{at: 624}
	s := &t.state
	s[0] = 19650218
	for i := 1; i < 624; i++ {
		s[i] = 1812433253*(s[i-1]^s[i-1]>>30) + uint32(i)
	}
	i := 1
	step := func() {
		if i++; i == 624 {
			s[0] = s[623]
			i = 1
		}
	}
	for range 624 {
		s[i] = (s[i] ^ (s[i-1]^s[i-1]>>30)*1664525) + seed
		step()
	}
	for range 623 {
		s[i] = (s[i] ^ (s[i-1]^s[i-1]>>30)*1566083941) - uint32(i)
		step()
	}
	s[0] = 0x80000000
	return t
}

func (t *twister) uint32() uint32 {
	if t.at == 624 {
		s := &t.state
		for i := range s {
			y := s[i]&0x80000000 | s[(i+1)%624]&0x7fffffff
			s[i] = s[(i+397)%624] ^ y>>1 ^ y&1*0x9908b0df
		}
		t.at = 0
	}
	y := t.state[t.at]
	t.at++
	y ^= y >> 11
	y ^= y << 7 & 0x9d2c5680
	y ^= y << 15 & 0xefc60000
	return y ^ y>>18
}

// float64 is random.random().
func (t *twister) float64() float64 {
	a, b := t.uint32()>>5, t.uint32()>>6
	return (float64(a)*67108864 + float64(b)) / 9007199254740992
}

// below is random._randbelow(n), which random.choice indexes with.
func (t *twister) below(n uint32) uint32 {
	shift := 32 - bits.Len32(n)
	for {
		if r := t.uint32() >> shift; r < n {
			return r
		}
	}
}

// gauss is random.gauss(0, 1).
func (t *twister) gauss() float64 {
	if t.has {
		t.has = false
		return t.spare
	}
	angle := t.float64() * (2 * math.Pi)
	radius := math.Sqrt(-2 * math.Log(1-t.float64()))
	t.spare, t.has = math.Sin(angle)*radius, true
	return math.Cos(angle) * radius
}
