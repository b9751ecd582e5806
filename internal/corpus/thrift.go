package corpus

import (
	"encoding/binary"
	"errors"
)

// Types of Thrift's compact protocol, in which parquet files describe themselves.
const (
	thriftTrue   = 1
	thriftFalse  = 2
	thriftByte   = 3
	thriftI16    = 4
	thriftI32    = 5
	thriftI64    = 6
	thriftDouble = 7
	thriftBinary = 8
	thriftList   = 9
	thriftSet    = 10
	thriftMap    = 11
	thriftStruct = 12
)

const maxThriftDepth = 16

var errThrift = errors.New("its description of itself is damaged")

// A thrift walks over a value without making anything of it. It refuses what claims more bytes or members than there are
// bytes left, for which a decoder would make room.
type thrift struct {
	b     []byte
	at    int
	depth int
}

func (t *thrift) left() int { return len(t.b) - t.at }

func (t *thrift) byte() (byte, error) {
	if t.left() < 1 {
		return 0, errThrift
	}
	t.at++
	return t.b[t.at-1], nil
}

func (t *thrift) uvarint() (uint64, error) {
	v, n := binary.Uvarint(t.b[t.at:])
	if n <= 0 {
		return 0, errThrift
	}
	t.at += n
	return v, nil
}

// integer reads a number of any of the integer types but a byte.
func (t *thrift) integer() (int64, error) {
	v, err := t.uvarint()
	return int64(v>>1) ^ -int64(v&1), err
}

// fields calls visit with the number and type of every field of a struct; visit reads the value, and returns false to have it
// skipped.
func (t *thrift) fields(visit func(id int, kind byte) (bool, error)) error {
	if t.depth++; t.depth > maxThriftDepth {
		return errThrift
	}
	defer func() { t.depth-- }()
	for id := 0; ; {
		head, err := t.byte()
		if err != nil || head == 0 {
			return err
		}
		if delta := int(head >> 4); delta > 0 {
			id += delta
		} else {
			v, err := t.integer()
			if err != nil {
				return err
			}
			id = int(v)
		}
		kind := head & 15
		read, err := visit(id, kind)
		if err == nil && !read {
			err = t.skip(kind)
		}
		if err != nil {
			return err
		}
	}
}

func (t *thrift) skip(kind byte) error {
	switch kind {
	case thriftTrue, thriftFalse:
		return nil
	case thriftByte:
		return t.pass(1)
	case thriftI16, thriftI32, thriftI64:
		_, err := t.uvarint()
		return err
	case thriftDouble:
		return t.pass(8)
	case thriftBinary:
		n, err := t.uvarint()
		if err != nil || n > uint64(t.left()) {
			return errThrift
		}
		return t.pass(int(n))
	case thriftStruct:
		return t.fields(func(int, byte) (bool, error) { return false, nil })
	case thriftList, thriftSet:
		return t.list()
	case thriftMap:
		return t.pairs()
	}
	return errThrift
}

func (t *thrift) pass(n int) error {
	if n > t.left() {
		return errThrift
	}
	t.at += n
	return nil
}

// list walks over a list's members, of which each has a byte at the least.
func (t *thrift) list() error {
	if t.depth++; t.depth > maxThriftDepth {
		return errThrift
	}
	defer func() { t.depth-- }()
	head, err := t.byte()
	if err != nil {
		return err
	}
	n := uint64(head >> 4)
	if n == 15 {
		if n, err = t.uvarint(); err != nil {
			return err
		}
	}
	if n > uint64(t.left()) {
		return errThrift
	}
	for range n {
		if err := t.member(head & 15); err != nil {
			return err
		}
	}
	return nil
}

// member skips a member of a list or map, where a truth value takes a byte.
func (t *thrift) member(kind byte) error {
	if kind == thriftTrue || kind == thriftFalse {
		return t.pass(1)
	}
	return t.skip(kind)
}

func (t *thrift) pairs() error {
	n, err := t.uvarint()
	if err != nil || n > uint64(t.left()) {
		return errThrift
	}
	if n == 0 {
		return nil
	}
	kinds, err := t.byte()
	if err != nil {
		return err
	}
	for range n {
		if err := errors.Join(t.member(kinds>>4), t.member(kinds&15)); err != nil {
			return err
		}
	}
	return nil
}
