package kernel

import (
	"encoding/binary"
	"fmt"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"unsafe"
)

// The tests of this file run the assembly of tiles_amx_amd64.s on any processor: a small machine reads its text, takes the
// general instructions by name and those on tiles by their bytes, and does what Intel's manual says of each (SDM, volume 2).
// So the addresses, the shapes and the bytes are tested where there are no tiles.

// A tileMachine is the state that the assembly works on.
type tileMachine struct {
	t     *testing.T
	funcs map[string][]string
	reg   [16]uint64
	zero  bool // the flag of the last comparison or count
	shape tileShapes
	tile  [8][tileDim][4 * tileDim]byte
	live  bool // shapes are loaded
}

var machineRegs = map[string]int{
	"AX": 0, "CX": 1, "DX": 2, "BX": 3, "SI": 6, "DI": 7, "R8": 8, "R9": 9, "R10": 10, "R11": 11, "R12": 12, "R13": 13, "R15": 15,
}

// newTileMachine reads the functions of the file.
func newTileMachine(t *testing.T) *tileMachine {
	t.Helper()
	text, err := os.ReadFile("tiles_amx_amd64.s")
	if err != nil {
		t.Fatal(err)
	}
	m := &tileMachine{t: t, funcs: map[string][]string{}}
	name := ""
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if rest, ok := strings.CutPrefix(line, "TEXT ·"); ok {
			name, _, _ = strings.Cut(rest, "(")
			continue
		}
		if name != "" && line != "" && !strings.HasPrefix(line, "//") {
			m.funcs[name] = append(m.funcs[name], line)
		}
	}
	return m
}

// operand finds a general register or a word of memory.
func (m *tileMachine) operand(s string) *uint64 {
	if s == "args+0(FP)" {
		m.t.Fatal("arguments are read once, at the start")
	}
	if r, ok := machineRegs[s]; ok {
		return &m.reg[r]
	}
	off, base, ok := strings.Cut(strings.TrimSuffix(s, ")"), "(")
	n, err := strconv.Atoi(off)
	r, known := machineRegs[base]
	if !ok || err != nil || !known {
		m.t.Fatalf("operand %q", s)
	}
	return (*uint64)(m.at(m.reg[r] + uint64(n)))
}

// at is the memory at an address.
func (m *tileMachine) at(address uint64) unsafe.Pointer {
	p := uintptr(address)
	return *(*unsafe.Pointer)(unsafe.Pointer(&p))
}

// value is an operand's, which may be a constant.
func (m *tileMachine) value(s string) uint64 {
	if rest, ok := strings.CutPrefix(s, "$"); ok {
		n, err := strconv.ParseInt(rest, 0, 64)
		if err != nil {
			m.t.Fatal(err)
		}
		return uint64(n)
	}
	return *m.operand(s)
}

// run runs a function.
func (m *tileMachine) run(name string, args uintptr) {
	lines := m.funcs[name]
	labels := map[string]int{}
	for i, l := range lines {
		if s, ok := strings.CutSuffix(l, ":"); ok {
			labels[s] = i
		}
	}
	for i := 0; ; i++ {
		l := lines[i]
		op, rest, _ := strings.Cut(l, " ")
		ops := strings.Split(rest, ", ")
		switch {
		case strings.HasSuffix(l, ":") || op == "PCALIGN" || op == "VZEROUPPER":
		case op == "RET":
			if m.live {
				m.t.Fatalf("%s leaves tiles behind", name)
			}
			return
		case l == "MOVQ args+0(FP), AX":
			m.reg[0] = uint64(args)
		case op == "MOVQ":
			*m.operand(ops[1]) = m.value(ops[0])
		case op == "ADDQ":
			*m.operand(ops[1]) += m.value(ops[0])
		case op == "SHLQ":
			*m.operand(ops[1]) <<= m.value(ops[0])
		case op == "DECQ":
			p := m.operand(ops[0])
			*p--
			m.zero = *p == 0
		case op == "CMPQ":
			m.zero = m.value(ops[0]) == m.value(ops[1])
		case op == "JMP" || (op == "JE" || op == "JZ") && m.zero || op == "JNZ" && !m.zero:
			i = labels[rest]
		case op == "JE" || op == "JZ" || op == "JNZ":
		case op == "BYTE":
			m.step(l)
		default:
			m.t.Fatalf("instruction %q", l)
		}
	}
}

// step takes an instruction on tiles apart and runs it.
func (m *tileMachine) step(line string) {
	line, _, _ = strings.Cut(line, " //")
	var code []byte
	for _, f := range strings.Split(line, "; ") {
		b, err := strconv.ParseUint(strings.TrimPrefix(f, "BYTE $"), 0, 8)
		if err != nil {
			m.t.Fatal(err)
		}
		code = append(code, byte(b))
	}
	if len(code) < 5 || code[0] != 0xc4 || code[1]&0x9f != 0x82 || code[2]&0x84 != 0 {
		m.t.Fatalf("% x: not VEX.128.0F38.W0 with a low register", code)
	}
	prefix, v := code[2]&3, int(^code[2]>>3)&15
	modrm := code[4]
	mod, reg, rm := modrm>>6, int(modrm>>3)&7, int(modrm)&7
	which := fmt.Sprintf("%02x/%d/%v", code[3], prefix, mod == 3)
	if which != "5c/2/true" && v != 0 {
		m.t.Fatalf("% x: vvvv is not 1111", code)
	}
	switch which {
	case "49/0/false": // LDTILECFG m512
		if mod != 1 || reg != 0 || code[1]&0x60 != 0x60 || len(code) != 6 {
			m.t.Fatalf("% x: not LDTILECFG disp8(reg)", code)
		}
		m.configure(m.reg[rm] + uint64(int8(code[5])))
	case "49/0/true": // TILERELEASE
		if modrm != 0xc0 {
			m.t.Fatalf("% x: not TILERELEASE", code)
		}
		m.live = false
	case "49/3/true": // TILEZERO tmm
		m.shapeOf(reg)
		m.tile[reg] = [tileDim][4 * tileDim]byte{}
	case "4b/3/false", "4b/2/false": // TILELOADD tmm, sibmem and TILESTORED sibmem, tmm
		m.move(code, prefix == 2)
	case "5c/2/true": // TDPBF16PS tmm (reg), tmm (rm), tmm (vvvv)
		m.dot(reg, rm, v)
	default:
		m.t.Fatalf("% x: no instruction on tiles", code)
	}
}

// configure is LDTILECFG: it checks what the processor faults at, and clears the tiles.
func (m *tileMachine) configure(address uint64) {
	m.shape = *(*tileShapes)(m.at(address))
	if m.shape.palette != 1 || m.shape.start != 0 {
		m.t.Fatalf("palette %d, start %d", m.shape.palette, m.shape.start)
	}
	for i := range m.shape.rows {
		r, b := m.shape.rows[i], m.shape.rowBytes[i]
		if i >= 8 && (r != 0 || b != 0) || r > tileDim || b > 4*tileDim || (r == 0) != (b == 0) {
			m.t.Fatalf("tile %d of %d rows of %d bytes", i, r, b)
		}
	}
	m.tile, m.live = [8][tileDim][4 * tileDim]byte{}, true
}

// shapeOf returns the rows of a tile and their bytes; a tile without is a fault.
func (m *tileMachine) shapeOf(tile int) (rows, rowBytes int) {
	rows, rowBytes = int(m.shape.rows[tile]), int(m.shape.rowBytes[tile])
	if !m.live || rows == 0 {
		m.t.Fatalf("tile %d has no shape", tile)
	}
	return rows, rowBytes
}

// move is TILELOADD or TILESTORED of [base + index·scale + disp8].
func (m *tileMachine) move(code []byte, store bool) {
	mod, reg, rm := code[4]>>6, int(code[4]>>3)&7, code[4]&7
	if rm != 4 || mod > 1 || len(code) != 6+int(mod) {
		m.t.Fatalf("% x: not an address with SIB", code)
	}
	sib := code[5]
	base := int(sib&7) | int(^code[1]>>5&1)<<3
	index := int(sib>>3&7) | int(^code[1]>>6&1)<<3
	if mod == 0 && base&7 == 5 || index == 4 || sib>>6 != 0 {
		m.t.Fatalf("% x: an address of another form", code)
	}
	address := m.reg[base]
	if mod == 1 {
		address += uint64(int8(code[6]))
	}
	rows, rowBytes := m.shapeOf(reg)
	if !store {
		m.tile[reg] = [tileDim][4 * tileDim]byte{}
	}
	for r := range rows {
		mem := unsafe.Slice((*byte)(m.at(address+uint64(r)*m.reg[index])), rowBytes)
		if store {
			copy(mem, m.tile[reg][r][:])
		} else {
			copy(m.tile[reg][r][:], mem)
		}
	}
}

// dot is TDPBF16PS.
func (m *tileMachine) dot(c, a, b int) {
	rows, cBytes := m.shapeOf(c)
	aRows, aBytes := m.shapeOf(a)
	bRows, bBytes := m.shapeOf(b)
	if rows != aRows || cBytes != bBytes || aBytes != 4*bRows || c == a || c == b || a == b {
		m.t.Fatalf("tiles %d, %d, %d of %d×%d, %d×%d, %d×%d", c, a, b, rows, cBytes, aRows, aBytes, bRows, bBytes)
	}
	word := func(t, r, i int) uint32 { return binary.LittleEndian.Uint32(m.tile[t][r][4*i:]) }
	for r := range rows {
		var even, odd [tileDim]float32
		for k := range bRows {
			w := word(a, r, k)
			for n := range cBytes / 4 {
				x := word(b, k, n)
				even[n] = fmaFlush(bf16Half(w, 0), bf16Half(x, 0), even[n])
				odd[n] = fmaFlush(bf16Half(w, 1), bf16Half(x, 1), odd[n])
			}
		}
		for n := range cBytes / 4 {
			sum := addFlush(float32frombits(word(c, r, n)), addFlush(even[n], odd[n]))
			binary.LittleEndian.PutUint32(m.tile[c][r][4*n:], float32bits(sum))
		}
	}
}

// emulated runs f with tiles, as if the processor had them. What it cannot do without is AVX512_BF16, which packs.
func emulated(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	if top < avx512 || !hasBF16 {
		t.Skip("packing for tiles takes AVX512_BF16")
	}
	// The machine holds addresses of the stack in numbers: it must not move.
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	grow()
	was := Variant()
	m := newTileMachine(t)
	tileHook = func(rows, cols int, args uintptr) { m.run(fmt.Sprintf("tileAMX%d%d", rows, cols), args) }
	setVariant(t, variantNames[avx512])
	tiles = true
	defer func() {
		tileHook = nil
		setVariant(t, was)
	}()
	f(t)
}

// grow makes room on the stack.
//
//go:noinline
func grow() byte {
	var room [1 << 20]byte
	for i := range room {
		room[i] = byte(i)
	}
	return room[len(room)/3]
}

func TestTilesByTheManual(t *testing.T) {
	emulated(t, func(t *testing.T) {
		s := newSource("tiles")
		for _, z := range append(sizes, [][3]int{{70, 100, 70}, {33, 64, 96}, {32, 700, 17}, {16, 1100, 33}}...) {
			m, k, n := z[0], z[1], z[2]
			checkMul(t, s, m, k, n, k+s.IntN(5), n+s.IntN(5), AMX)
			checkAddTransA(t, s, k, m, n, s.IntN(5), AMX)
		}
		checkMul(t, s, 40, 64, 100, 512, 512, AMX)
		checkAddTransA(t, s, 530, 40, 40, 1, AMX)
		checkAddTransA(t, s, 40, 20, 600, 0, AMX)
	})
}

// TestTilesAllocateNothing is TestNothingIsAllocated for the tiles' drivers, with nothing at the end of them.
func TestTilesAllocateNothing(t *testing.T) {
	emulated(t, func(t *testing.T) {
		s := newSource("allocations")
		a, b, c, dw := s.mat(40, 70, 70), s.mat(70, 33, 33), s.mat(40, 33, 33), NewMat(70, 33)
		p := Packed{Numerics: AMX}
		p.PackB(b)
		var scratch Scratch
		scratch.Reserve()
		calls := 0
		tileHook = func(int, int, uintptr) { calls++ }
		n := testing.AllocsPerRun(3, func() {
			Mul(c, a, &p, false)
			AddTransA(dw, a, c, &scratch, AMX)
		})
		if n != 0 || calls == 0 {
			t.Errorf("%v allocations in %d calls", n, calls)
		}
	})
}
