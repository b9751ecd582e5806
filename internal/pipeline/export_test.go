package pipeline

// Tests work with smaller objects on both sides of the limit.
func init() { hashUpTo = 4 << 10 }
