package textfile

import (
	"errors"
	"io"
)

// ReadFile returns a file's whole text of at most limit bytes, its line ends as "\n".
func ReadFile(path string, limit int) (text []byte, err error) {
	r, err := Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	return r.All(limit)
}

// All returns the text that is left, of at most limit bytes, its line ends as "\n". The last line ends as it does in the file.
func (r *Reader) All(limit int) ([]byte, error) {
	out, err := io.ReadAll(io.LimitReader(r.Text(), int64(limit)+1))
	if err != nil {
		return nil, err
	}
	if len(out) > limit {
		return nil, r.Errorf("the file has more than %d bytes of text", limit)
	}
	return out, nil
}

// Text returns the lines as a stream, with "\n" between them, and after the last if the file has a line end there.
func (r *Reader) Text() io.Reader { return &stream{r: r} }

type stream struct {
	r     *Reader
	rest  []byte
	begun bool
	ended bool // the last line had a line end
}

func (s *stream) Read(p []byte) (int, error) {
	for len(s.rest) == 0 {
		line, err := s.r.Next()
		if err != nil {
			if errors.Is(err, io.EOF) && s.begun && s.ended {
				s.begun, s.rest = false, []byte("\n")
				break
			}
			return 0, err
		}
		s.rest = s.rest[:0]
		if s.begun {
			s.rest = append(s.rest, '\n')
		}
		s.rest = append(s.rest, line...)
		s.begun, s.ended = true, len(s.r.ready) > 0 || s.r.ended()
	}
	n := copy(p, s.rest)
	s.rest = s.rest[n:]
	return n, nil
}

// ended reports whether the last line that was read had a line end of its own.
func (r *Reader) ended() bool {
	n := len(r.buf)
	return n > 0 && (r.buf[n-1] == '\n' || r.buf[n-1] == '\r')
}
