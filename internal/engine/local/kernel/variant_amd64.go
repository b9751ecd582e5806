package kernel

import "golang.org/x/sys/cpu"

// best returns the highest variant that processor and operating system support.
func best() int {
	x := &cpu.X86
	switch {
	case x.HasAVX512F && x.HasAVX512BW && x.HasAVX512DQ && x.HasAVX512VL && x.HasFMA && x.HasAVX2:
		return avx512
	case x.HasAVX2 && x.HasFMA:
		return avx2
	}
	return generic
}

func cpuBF16() bool { return cpu.X86.HasAVX512BF16 && best() == avx512 }
