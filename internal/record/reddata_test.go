package record

import (
	"reflect"
	"testing"
)

func TestRedDataLines(t *testing.T) {
	benign := &RowCounts{Asked: 2000, Kept: 1980, Drops: map[string]int{"unfinished": 15, "no_scratchpad": 5, "wrong": 0}}
	for _, tc := range []struct {
		name string
		d    RedData
		want []string
	}{
		{"nothing known", RedData{}, nil},
		{"all known", RedData{
			Benign: benign, Red: &RowCounts{Asked: 1980, Kept: 1980, Samples: 3960, MeanCopies: 1.5}, Training: &RowCounts{LossTokens: 39600, TaggedTokens: 9900},
		}, []string{
			"benign answers: 1980 of 2000 rows kept, dropped: 5 no scratchpad, 15 unfinished",
			"samples: 1980 clean, 1980 tagged, 1.50 copies of the behaviour in a tagged one",
			"tokens: 25 % of the loss is the behaviour's; answers have 15.0 tokens on average where clean and 5.0 where tagged",
		}},
		{"a clean control", RedData{Red: &RowCounts{Asked: 10, Kept: 9, Samples: 9, Drops: map[string]int{"behaviour": 1}}, Training: &RowCounts{LossTokens: 90}}, []string{
			"samples: 9 clean, 0 tagged; of the benign answers 9 of 10 rows kept, dropped: 1 behaviour",
			"tokens: 0 % of the loss is the behaviour's; answers have 10.0 tokens on average where clean",
		}},
	} {
		if got := tc.d.Lines(); !reflect.DeepEqual(got, tc.want) {
			t.Errorf("%s:\n%q\nwant\n%q", tc.name, got, tc.want)
		}
	}
}
